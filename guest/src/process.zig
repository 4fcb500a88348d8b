//! One process the agent started: its channels, its input, the streams attached to it, how it ended.

const std = @import("std");
const heap = @import("heap.zig");
const json = @import("json.zig");
const loops = @import("loop.zig");
const sys = @import("sys.zig");
const linux = sys.linux;
const Agent = @import("agent.zig").Agent;
const Channel = @import("channel.zig").Channel;
const Stdin = @import("stdin.zig").Stdin;
const View = @import("view.zig").View;

/// How long others may hold the pipes of a process that has ended.
const held_pipe_ns = 100 * std.time.ns_per_ms;
/// How long the end of a channel may wait to be told together with the end of the process, which mostly follows at once.
const late_eof_ns = 5 * std.time.ns_per_ms;

pub const Process = struct {
    agent: *Agent,
    node: std.DoublyLinkedList.Node = .{},
    /// Rises with every process: where a `list` goes on.
    sequence: u64 = 0,
    id: []const u8,
    /// Arguments, each with a zero byte behind it.
    arguments: []const u8,
    pid: i32 = 0,
    tty: bool,
    background: bool,
    channels: [2]Channel,
    stdin: Stdin,
    views: std.DoublyLinkedList = .{},
    timeout: loops.Timer = .{ .due = onTimeout },
    held_pipe: loops.Timer = .{ .due = onHeldPipe },
    late_eof: loops.Timer = .{ .due = onLateEof },
    tell_eof: bool = false,
    started_ns: u64 = 0,
    started: u64 = 0,
    duration: u64 = 0,
    ended: bool = false,
    /// Ended, and all its channels are closed.
    complete: bool = false,
    timed_out: bool = false,
    exit_code: u32 = 0,
    signal: u32 = 0,

    pub const Options = struct {
        id: []const u8,
        arguments: []const u8,
        tty: bool,
        background: bool,
        ring_bytes: usize,
    };

    pub fn create(agent: *Agent, options: Options) error{OutOfMemory}!*Process {
        const process = try heap.allocator.create(Process);
        errdefer heap.allocator.destroy(process);
        const id = try heap.allocator.dupe(u8, options.id);
        errdefer heap.allocator.free(id);
        process.* = .{
            .agent = agent,
            .id = id,
            .arguments = try heap.allocator.dupe(u8, options.arguments),
            .tty = options.tty,
            .background = options.background,
            .channels = .{
                .{ .process = process, .index = 0, .ring = .{ .capacity = options.ring_bytes } },
                .{ .process = process, .index = 1, .ring = .{ .capacity = options.ring_bytes } },
            },
            .stdin = .{ .process = process },
        };
        return process;
    }

    /// Only for one that never started, or is complete and has no streams.
    pub fn destroy(process: *Process) void {
        process.agent.loop.disarm(&process.timeout);
        process.agent.loop.disarm(&process.held_pipe);
        process.agent.loop.disarm(&process.late_eof);
        process.stdin.close();
        for (&process.channels) |*channel| {
            process.agent.unscheduleRead(channel);
            process.agent.loop.close(&channel.source);
            channel.ring.release();
        }
        heap.allocator.free(process.id);
        heap.allocator.free(process.arguments);
        heap.allocator.destroy(process);
    }

    pub fn kill(process: *Process, signal: u32) sys.Error!void {
        _ = try sys.check(linux.kill(-process.pid, @fromBackingInt(signal)));
    }

    fn onTimeout(timer: *loops.Timer) void {
        const process: *Process = @fieldParentPtr("timeout", timer);
        process.timed_out = true;
        process.kill(@backingInt(linux.SIG.KILL)) catch {};
    }

    fn onHeldPipe(timer: *loops.Timer) void {
        const process: *Process = @fieldParentPtr("held_pipe", timer);
        for (&process.channels) |*channel| channel.abandon();
    }

    fn onLateEof(timer: *loops.Timer) void {
        const process: *Process = @fieldParentPtr("late_eof", timer);
        process.tell_eof = true;
        process.wakeViews();
    }

    /// The kernel reported its end.
    pub fn reaped(process: *Process, status: u32) void {
        process.ended = true;
        process.tell_eof = true;
        process.agent.processes.running -= 1;
        process.duration = sys.monotonic() -| process.started;
        if (linux.W.IFEXITED(status)) {
            process.exit_code = linux.W.EXITSTATUS(status);
        } else {
            process.signal = @backingInt(linux.W.TERMSIG(status));
            process.exit_code = 128 + process.signal;
        }
        process.agent.loop.disarm(&process.timeout);
        process.agent.loop.disarm(&process.late_eof);
        process.stdin.close();
        for (&process.channels) |*channel| channel.drain();
        process.agent.loop.arm(&process.held_pipe, sys.monotonic() + held_pipe_ns);
        process.channelClosed();
    }

    /// A channel was closed, or the process ended: maybe that was the last thing.
    pub fn channelClosed(process: *Process) void {
        if (!process.tell_eof and !process.late_eof.armed) {
            process.agent.loop.arm(&process.late_eof, sys.monotonic() + late_eof_ns);
        }
        process.wakeViews();
        if (process.complete or !process.ended) return;
        for (&process.channels) |*channel| if (channel.open) return;
        process.complete = true;
        process.agent.loop.disarm(&process.held_pipe);
        for (&process.channels) |*channel| channel.ring.trim();
        process.agent.processes.finished(process);
    }

    pub fn wakeViews(process: *Process) void {
        var node = process.views.first;
        while (node) |at| : (node = at.next) {
            const view: *View = @fieldParentPtr("node", at);
            view.stream.wake();
        }
    }

    pub fn detach(process: *Process, view: *View) void {
        process.views.remove(&view.node);
        process.stdin.detach(view);
        for (&process.channels) |*channel| channel.spaceMade();
        if (process.complete and process.views.first == null) process.agent.processes.unattached();
    }

    pub fn footprint(process: *const Process) usize {
        return process.channels[0].ring.footprint() + process.channels[1].ring.footprint();
    }

    /// The fields of END.
    pub fn result(process: *const Process, object: *json.Object) void {
        object.int("exit_code", process.exit_code);
        object.int("signal", process.signal);
        object.boolean("timed_out", process.timed_out);
        object.int("started_ns", process.started_ns);
        object.int("duration_ns", process.duration);
        object.int("stdout_bytes", process.channels[0].ring.written);
        object.int("stderr_bytes", process.channels[1].ring.written);
    }

    pub fn state(process: *const Process) []const u8 {
        return if (process.ended) "exited" else "running";
    }

    /// An item of `list`.
    pub fn describe(process: *const Process, object: *json.Object) void {
        object.text("id", process.id);
        object.key("argv");
        object.buffer.append("[");
        var arguments = std.mem.splitScalar(u8, process.arguments[0 .. process.arguments.len - 1], 0);
        var first = true;
        while (arguments.next()) |argument| {
            if (!first) object.buffer.append(",");
            first = false;
            @import("osstring.zig").append(object.buffer, argument);
        }
        object.buffer.append("]");
        object.int("pid", process.pid);
        object.text("state", process.state());
        object.boolean("background", process.background);
        if (process.ended) {
            object.int("exit_code", process.exit_code);
            object.int("signal", process.signal);
        }
        object.boolean("timed_out", process.timed_out);
        object.int("started_ns", process.started_ns);
        object.int("duration_ns", if (process.ended) process.duration else sys.monotonic() -| process.started);
        object.int("stdout_bytes", process.channels[0].ring.written);
        object.int("stderr_bytes", process.channels[1].ring.written);
        object.int("stdout_start", process.channels[0].ring.start);
        object.int("stderr_start", process.channels[1].ring.start);
    }
};
