//! The agent: everything that lives as long as it does, and its main loop.

const std = @import("std");
const builtin = @import("builtin");
const heap = @import("heap.zig");
const loops = @import("loop.zig");
const sys = @import("sys.zig");
const victims = @import("victims.zig");
const linux = sys.linux;
const Bulk = @import("bulk.zig").Bulk;
const Channel = @import("channel.zig").Channel;
const Connection = @import("connection.zig").Connection;
const Ending = @import("ending.zig").Ending;
const Table = @import("table.zig").Table;

const most_connections = 32;
/// Pages of the receive buffer beyond this are given back when a burst is over.
const receive_keep = 16 * 1024;
const idle_ns = std.time.ns_per_s;
const listen_pause_ns = 100 * std.time.ns_per_ms;

/// The status after the time to live, or the time without a host, is over.
const expired_status = 3;

pub const Agent = struct {
    pub const release = "0.1.0";
    pub const architecture = @tagName(builtin.cpu.arch);
    pub const default_path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

    loop: loops.Loop = .{},
    listener: loops.Source = .{ .ready = onHost },
    signals: loops.Source = .{ .ready = onSignal },
    host_waits: bool = false,
    listen_again: loops.Timer = .{ .due = onListenAgain },
    connections: std.DoublyLinkedList = .{},
    connection_count: usize = 0,
    /// Connections with something to write or pump.
    flushes: std.DoublyLinkedList = .{},
    /// Channels with something to read.
    reads: std.DoublyLinkedList = .{},
    /// Where the connection that is being flushed collects what goes out straight from rings.
    bulk: *Bulk = undefined,
    receive: []align(std.heap.page_size_min) u8 = &.{},
    receive_trim: loops.Timer = .{ .due = onReceiveTrim },

    processes: Table = .{},
    environment: []const [*:0]const u8 = &.{},
    inherited_oom_score: ?[]const u8 = null,
    null_fd: i32 = -1,
    workdir: []const u8 = "/",
    boot: [32]u8 = undefined,
    started: u64 = 0,
    /// On --stdio the agent ends with its one connection.
    single: bool = false,

    ttl: loops.Timer = .{ .due = onTtl },
    linger: loops.Timer = .{ .due = onLinger },
    linger_ns: u64 = 0,
    ending: ?*Ending = null,
    /// All is done: exit as soon as the hosts have been told.
    leaving: bool = false,
    status: ?u8 = null,

    pub fn run(agent: *Agent) u8 {
        agent.lingerOrNot();
        while (agent.status == null) {
            agent.loop.turn(agent.flushes.first != null or agent.reads.first != null);
            agent.readAll();
            agent.flushAll();
            if (agent.host_waits) agent.acceptHost();
            if (agent.leaving and agent.toldEverything()) agent.status = 0;
        }
        victims.killAll(agent);
        return agent.status.?;
    }

    fn toldEverything(agent: *const Agent) bool {
        var node = agent.connections.first;
        while (node) |at| : (node = at.next) {
            const connection: *const Connection = @fieldParentPtr("node", at);
            if (connection.out.len() > 0 or connection.ready.first != null) return false;
        }
        return true;
    }

    pub fn receiveBuffer(agent: *Agent) []u8 {
        return agent.receive;
    }

    /// So many bytes of the receive buffer were touched.
    pub fn received(agent: *Agent, count: usize) void {
        if (count > receive_keep) agent.loop.arm(&agent.receive_trim, sys.monotonic() + idle_ns);
    }

    fn onReceiveTrim(timer: *loops.Timer) void {
        const agent: *Agent = @fieldParentPtr("receive_trim", timer);
        const rest = agent.receive[receive_keep..];
        _ = linux.madvise(rest.ptr, rest.len, linux.MADV.DONTNEED);
    }

    // Work for the end of the turn.

    pub fn scheduleFlush(agent: *Agent, connection: *Connection) void {
        if (connection.flushing) return;
        connection.flushing = true;
        agent.flushes.append(&connection.flush_node);
    }

    pub fn scheduleRead(agent: *Agent, channel: *Channel) void {
        if (channel.queued) return;
        channel.queued = true;
        agent.reads.append(&channel.node);
    }

    pub fn unscheduleRead(agent: *Agent, channel: *Channel) void {
        if (!channel.queued) return;
        channel.queued = false;
        agent.reads.remove(&channel.node);
    }

    fn readAll(agent: *Agent) void {
        // What a read schedules, or leaves over, is for the next turn.
        var left = agent.reads.len();
        while (left > 0) : (left -= 1) {
            const node = agent.reads.popFirst() orelse return;
            const channel: *Channel = @fieldParentPtr("node", node);
            channel.queued = false;
            if (channel.read()) agent.scheduleRead(channel);
        }
    }

    fn flushAll(agent: *Agent) void {
        var left = agent.flushes.len();
        while (left > 0) : (left -= 1) {
            const node = agent.flushes.popFirst() orelse return;
            const connection: *Connection = @fieldParentPtr("flush_node", node);
            // Kept set meanwhile: what it schedules for itself it does itself.
            const done = connection.dead or connection.flush();
            connection.flushing = false;
            if (connection.dead) {
                agent.disconnect(connection);
            } else if (!done) {
                agent.scheduleFlush(connection);
            }
        }
    }

    // Hosts.

    fn onHost(source: *loops.Source, _: u32) void {
        const agent: *Agent = @fieldParentPtr("listener", source);
        agent.host_waits = true;
    }

    /// After the turn's other work: those who went have made room.
    fn acceptHost(agent: *Agent) void {
        agent.host_waits = false;
        const flags = linux.SOCK.CLOEXEC | linux.SOCK.NONBLOCK;
        const fd = sys.checkFd(linux.accept4(agent.listener.fd, null, null, flags)) catch {
            if (sys.last == .AGAIN or sys.last == .INTR or sys.last == .CONNABORTED) return;
            // No descriptors or memory: the host stays in the queue, and must not keep the loop busy meanwhile.
            agent.loop.change(&agent.listener, 0);
            agent.loop.arm(&agent.listen_again, sys.monotonic() + listen_pause_ns);
            return;
        };
        if (agent.connection_count == most_connections) return sys.close(fd);
        agent.connect(fd, fd) catch sys.close(fd);
    }

    fn onListenAgain(timer: *loops.Timer) void {
        const agent: *Agent = @fieldParentPtr("listen_again", timer);
        agent.loop.change(&agent.listener, loops.readable);
    }

    pub fn connect(agent: *Agent, input: i32, output: i32) !void {
        const connection: *Connection = try .create(agent, input, output);
        agent.connections.append(&connection.node);
        agent.connection_count += 1;
        agent.loop.disarm(&agent.linger);
    }

    fn disconnect(agent: *Agent, connection: *Connection) void {
        agent.connections.remove(&connection.node);
        agent.connection_count -= 1;
        // Streams that go wake nothing on a connection that is going itself.
        connection.flushing = true;
        connection.destroy();
        if (agent.single and agent.status == null) agent.status = 0;
        agent.lingerOrNot();
    }

    // Time.

    pub fn lingerOrNot(agent: *Agent) void {
        agent.loop.disarm(&agent.linger);
        if (agent.linger_ns == 0 or agent.connection_count > 0) return;
        agent.loop.arm(&agent.linger, sys.monotonic() + agent.linger_ns);
    }

    fn onLinger(timer: *loops.Timer) void {
        const agent: *Agent = @fieldParentPtr("linger", timer);
        agent.status = expired_status;
    }

    fn onTtl(timer: *loops.Timer) void {
        const agent: *Agent = @fieldParentPtr("ttl", timer);
        agent.status = expired_status;
    }

    // Signals.

    fn onSignal(source: *loops.Source, _: u32) void {
        const agent: *Agent = @fieldParentPtr("signals", source);
        var news: [8]linux.signalfd_siginfo = undefined;
        const count = sys.read(source.fd, std.mem.sliceAsBytes(&news)) catch return;
        for (news[0 .. count / @sizeOf(linux.signalfd_siginfo)]) |*one| {
            if (one.signo != @backingInt(linux.SIG.CHLD)) Ending.begin(agent, null, Ending.default_grace_ms) catch {
                agent.status = 0;
            };
        }
        agent.reap();
    }

    /// Collect everything that has ended: the agent's own processes and, as their reaper, orphans.
    pub fn reap(agent: *Agent) void {
        while (true) {
            var status: i32 = 0;
            const pid = sys.check(linux.wait4(-1, &status, linux.W.NOHANG, null)) catch {
                if (sys.last == .INTR) continue;
                // No children at all.
                if (agent.ending) |ending| ending.allGone();
                return;
            };
            if (pid == 0) return;
            if (agent.processes.withPid(@intCast(pid))) |process| process.reaped(@bitCast(status));
        }
    }
};
