//! aetherium-guest: runs inside a VM and does there what the host asks for. See docs/reference/guest-protocol.md.

const std = @import("std");
const heap = @import("heap.zig");
const loops = @import("loop.zig");
const sys = @import("sys.zig");
const linux = sys.linux;
const Agent = @import("agent.zig").Agent;
const Connection = @import("connection.zig").Connection;
const Arguments = @import("arguments.zig").Arguments;

/// A failed safety check traps: the agent must not go on, and has nobody to tell.
pub const panic = std.debug.no_panic;
pub const std_options: std.Options = .{ .enable_segfault_handler = false, .signal_stack_size = null };

const usage_status = 2;
const failure_status = 1;
const oom_score = "-900";
const receive_length = 256 * 1024;

var agent: Agent = .{};

pub fn main(init: std.process.Init.Minimal) u8 {
    const arguments = Arguments.parse(init.args.vector) orelse {
        complain("usage: aetherium-guest serve (--listen-fd N | --listen PATH | --stdio) [--workdir DIR] [--ttl-s N] [--linger-s N]\n");
        return usage_status;
    };
    agent.environment = @ptrCast(init.environ.block.slice);
    prepare(&arguments) catch {
        complain("aetherium-guest: cannot start\n");
        return failure_status;
    };
    return agent.run();
}

fn complain(text: []const u8) void {
    sys.writeAll(2, text) catch {};
}

fn prepare(arguments: *const Arguments) !void {
    try fillStandardDescriptors();
    agent.null_fd = try openNull();
    agent.started = sys.monotonic();
    agent.receive = try sys.map(receive_length);
    drawBoot();
    resetSignals();
    protect();
    enterWorkdir(arguments.workdir);
    try agent.loop.open();
    agent.signals.fd = try openSignals();
    try agent.loop.add(&agent.signals, loops.readable);
    if (linux.getpid() != 1) _ = linux.prctl(@backingInt(linux.PR.SET_CHILD_SUBREAPER), 1, 0, 0, 0);
    agent.linger_ns = arguments.linger_s * std.time.ns_per_s;
    if (arguments.ttl_s > 0) agent.loop.arm(&agent.ttl, agent.started + arguments.ttl_s * std.time.ns_per_s);
    switch (arguments.transport) {
        .listen_fd => |fd| try listen(try moveUp(fd)),
        .listen_path => |path| try listen(try bind(path)),
        .stdio => try speakOnStdio(),
    }
    closeOthers();
}

/// Descriptors 0 to 2 must be taken, or later ones would end up there and in children.
fn fillStandardDescriptors() !void {
    while (true) {
        const fd = try openNull();
        if (fd <= 2) {
            _ = linux.fcntl(fd, linux.F.SETFD, 0);
            continue;
        }
        sys.close(fd);
        return;
    }
}

/// Something to read that is empty: /dev/null, or without one a pipe that nobody writes to.
fn openNull() sys.Error!i32 {
    if (sys.open("/dev/null", .{ .ACCMODE = .RDWR }, 0)) |fd| return fd else |_| {}
    var ends: [2]i32 = undefined;
    _ = try sys.check(linux.pipe2(&ends, .{ .CLOEXEC = true }));
    sys.close(ends[1]);
    return ends[0];
}

fn drawBoot() void {
    var random: [16]u8 = undefined;
    if (linux.errno(linux.getrandom(&random, random.len, 0)) != .SUCCESS) {
        std.mem.writeInt(u128, &random, sys.realtime(), .little);
    }
    agent.boot = std.fmt.bytesToHex(random, .lower);
}

/// Children inherit what is ignored: nothing is, but SIGPIPE in the agent itself.
fn resetSignals() void {
    const ignore: linux.Sigaction = .{ .handler = .{ .handler = linux.SIG.IGN }, .mask = linux.sigemptyset(), .flags = 0 };
    const default: linux.Sigaction = .{ .handler = .{ .handler = linux.SIG.DFL }, .mask = linux.sigemptyset(), .flags = 0 };
    var number: u32 = 1;
    while (number < linux.NSIG) : (number += 1) {
        const signal: linux.SIG = @fromBackingInt(number);
        if (signal == .KILL or signal == .STOP) continue;
        _ = linux.sigaction(signal, if (signal == .PIPE) &ignore else &default, null);
    }
}

/// Out of reach of what runs beside the agent under the same user, and the last to go when memory is short.
fn protect() void {
    const path = "/proc/self/oom_score_adj";
    var buffer: [16]u8 = undefined;
    if (sys.readFile(path, &buffer)) |score| lower: {
        const kept = heap.allocator.dupe(u8, score) catch break :lower;
        const fd = sys.open(path, .{ .ACCMODE = .WRONLY }, 0) catch break :lower;
        defer sys.close(fd);
        sys.writeAll(fd, oom_score) catch break :lower;
        agent.inherited_oom_score = kept;
    }
    _ = linux.prctl(@backingInt(linux.PR.SET_DUMPABLE), 0, 0, 0, 0);
}

fn enterWorkdir(wanted: ?[*:0]const u8) void {
    if (wanted) |path| {
        if (linux.errno(linux.chdir(path)) != .SUCCESS) _ = linux.chdir("/");
    }
    const buffer = heap.allocator.alloc(u8, 4096) catch return;
    const length = sys.check(linux.getcwd(buffer.ptr, buffer.len)) catch return;
    agent.workdir = buffer[0 .. length - 1];
}

fn openSignals() sys.Error!i32 {
    var mask = linux.sigemptyset();
    linux.sigaddset(&mask, .CHLD);
    linux.sigaddset(&mask, .TERM);
    linux.sigaddset(&mask, .INT);
    _ = try sys.check(linux.sigprocmask(linux.SIG.SETMASK, &mask, null));
    return sys.checkFd(linux.signalfd(-1, &mask, linux.SFD.CLOEXEC | linux.SFD.NONBLOCK));
}

/// The descriptor, out of the way of 0 to 2 and closed on exec.
fn moveUp(fd: i32) sys.Error!i32 {
    const F_DUPFD_CLOEXEC = 1030;
    return sys.checkFd(linux.fcntl(fd, F_DUPFD_CLOEXEC, 3));
}

fn bind(path: [*:0]const u8) sys.Error!i32 {
    const name = std.mem.span(path);
    var address: linux.sockaddr.un = .{ .path = @splat(0) };
    if (name.len >= address.path.len) return sys.fail(.NAMETOOLONG);
    @memcpy(address.path[0..name.len], name);
    _ = linux.unlink(path);
    const fd = try sys.checkFd(linux.socket(linux.AF.UNIX, linux.SOCK.STREAM | linux.SOCK.CLOEXEC, 0));
    errdefer sys.close(fd);
    // The socket file must never be open to others, not even for a moment.
    const before = linux.syscall1(.umask, 0o177);
    defer _ = linux.syscall1(.umask, before);
    _ = try sys.check(linux.bind(fd, @ptrCast(&address), @sizeOf(linux.sockaddr.un)));
    _ = try sys.check(linux.listen(fd, 64));
    return fd;
}

fn listen(fd: i32) sys.Error!void {
    try sys.setNonBlocking(fd);
    agent.listener.fd = fd;
    try agent.loop.add(&agent.listener, loops.readable);
}

fn speakOnStdio() !void {
    const input = try moveUp(0);
    const output = try moveUp(1);
    _ = try sys.check(linux.dup3(agent.null_fd, 0, 0));
    _ = try sys.check(linux.dup3(agent.null_fd, 1, 0));
    try sys.setNonBlocking(input);
    try sys.setNonBlocking(output);
    agent.single = true;
    try agent.connect(input, output);
}

/// Close what was inherited: everything that is not closed on exec, or is, but is none of the agent's.
fn closeOthers() void {
    var keep = [_]i32{ agent.null_fd, agent.loop.epoll, agent.signals.fd, agent.listener.fd, -1, -1 };
    if (agent.connections.first) |node| {
        const connection: *Connection = @fieldParentPtr("node", node);
        keep[4] = connection.input.fd;
        keep[5] = connection.output.fd;
    }
    std.mem.sort(i32, &keep, {}, std.sort.asc(i32));
    var first: i32 = 3;
    for (keep) |fd| {
        if (fd < first) continue;
        closeRange(first, fd - 1);
        first = fd + 1;
    }
    closeRange(first, std.math.maxInt(i32));
}

fn closeRange(first: i32, last: i32) void {
    if (first > last) return;
    if (linux.errno(linux.close_range(first, last, .{ .UNSHARE = false, .CLOEXEC = false })) == .SUCCESS) return;
    // Kernels before 5.9.
    var limit: linux.rlimit = .{ .cur = 1024, .max = 1024 };
    _ = linux.getrlimit(.NOFILE, &limit);
    var fd = first;
    while (fd <= last and fd < @min(limit.cur, 1 << 20)) : (fd += 1) sys.close(fd);
}
