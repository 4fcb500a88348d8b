//! The operations on processes: exec, attach, signal, resize.

const std = @import("std");
const command = @import("command.zig");
const fault = @import("fault.zig");
const pty = @import("pty.zig");
const spawning = @import("spawn.zig");
const sys = @import("sys.zig");
const users = @import("users.zig");
const linux = sys.linux;
const refuse = fault.refuse;
const Fault = fault.Fault;
const Process = @import("process.zig").Process;
const Request = @import("request.zig").Request;
const Stream = @import("stream.zig").Stream;
const View = @import("view.zig").View;

const default_ring = 1024 * 1024;
const smallest_ring = 4 * 1024;
const largest_ring = 64 * 1024 * 1024;
const longest_id = 64;
/// Some 34 years: in nanoseconds it still fits.
const longest_ms = 1 << 40;

pub fn exec(stream: *Stream, request: *const Request) Fault!void {
    const agent = stream.connection.agent;
    const id = try requireId(request);
    const takes_input = try request.boolean("stdin") orelse false;
    if (agent.processes.find(id)) |known| return join(stream, known, .{ 0, 0 }, takes_input, .{ .existing = true });

    if (agent.ending != null) return refuse(.failed_precondition, "the agent is shutting down");
    const arguments = try command.arguments(request);
    const environment = try command.environment(request, agent.environment);
    const size = try sizeOf(request);
    const timeout = try request.int("timeout_ms", 1, longest_ms);
    var plan: spawning.Plan = .{
        .candidates = try command.candidates(request.arena, std.mem.span(arguments[0].?), environment),
        .argv = arguments,
        .environment = environment,
        .descriptors = undefined,
        .terminal = size != null,
        .directory = if (request.get("cwd") != null) try request.path("cwd") else null,
        .user = if (try request.text("user")) |name| try userOf(request.arena, name) else null,
        .limits = try command.limits(request),
        .oom_score = agent.inherited_oom_score,
    };
    const process: *Process = try .create(agent, .{
        .id = id,
        .arguments = try command.shown(request.arena, arguments),
        .tty = size != null,
        .background = try request.boolean("background") orelse false,
        .ring_bytes = @intCast(try request.int("ring_bytes", smallest_ring, largest_ring) orelse default_ring),
    });
    errdefer process.destroy();
    process.started_ns = sys.realtime();
    process.started = sys.monotonic();
    if (size) |window| {
        try startOnTerminal(process, &plan, window);
    } else {
        try startOnPipes(process, &plan, takes_input);
    }
    agent.processes.add(process);
    if (timeout) |ms| agent.loop.arm(&process.timeout, process.started + @as(u64, @intCast(ms)) * std.time.ns_per_ms);
    // It runs now: whatever happens here, it is the agent's.
    join(stream, process, .{ 0, 0 }, takes_input, .{ .existing = false }) catch stream.connection.fail();
}

fn startOnTerminal(process: *Process, plan: *spawning.Plan, size: pty.Size) Fault!void {
    const terminal = try pty.open(size, if (plan.user) |user| user.uid else null);
    defer sys.close(terminal.slave);
    process.channels[0].watch(terminal.master) catch |cause| {
        sys.close(terminal.master);
        return cause;
    };
    process.stdin.open = true;
    plan.descriptors = @splat(terminal.slave);
    try start(process, plan);
}

fn startOnPipes(process: *Process, plan: *spawning.Plan, takes_input: bool) Fault!void {
    var children: [3]i32 = @splat(-1);
    defer for (children) |fd| {
        if (fd != process.agent.null_fd) sys.close(fd);
    };
    children[0] = process.agent.null_fd;
    if (takes_input) {
        const ends = try pipe();
        children[0] = ends[0];
        process.stdin.source.fd = ends[1];
        process.stdin.open = true;
        try sys.setNonBlocking(ends[1]);
    }
    for (&process.channels, children[1..]) |*channel, *end| {
        const ends = try pipe();
        end.* = ends[1];
        sys.setNonBlocking(ends[0]) catch {};
        channel.watch(ends[0]) catch |cause| {
            sys.close(ends[0]);
            return cause;
        };
    }
    plan.descriptors = children;
    try start(process, plan);
}

fn pipe() sys.Error![2]i32 {
    var ends: [2]i32 = undefined;
    _ = try sys.check(linux.pipe2(&ends, .{ .CLOEXEC = true }));
    return ends;
}

fn start(process: *Process, plan: *spawning.Plan) Fault!void {
    process.pid = spawning.spawn(plan) catch return refusal(plan);
}

fn refusal(plan: *const spawning.Plan) Fault {
    const errno = plan.errno;
    return switch (plan.failed) {
        .directory => switch (errno) {
            .NOENT, .NOTDIR => fault.refuseErrno(.no_such_directory, "the working directory does not exist", errno),
            else => sys.fail(errno),
        },
        .user => fault.refuseErrno(.permission_denied, "the agent may not become this user", errno),
        .limits => switch (errno) {
            .INVAL => fault.refuseErrno(.invalid_argument, "a soft limit is above its hard limit", errno),
            else => fault.refuseErrno(.permission_denied, "the agent may not set this limit", errno),
        },
        .exec => switch (errno) {
            .NOENT, .NOTDIR => fault.refuseErrno(.command_not_found, "the command was not found", errno),
            .@"2BIG" => fault.refuseErrno(.argument_too_long, "arguments and environment are too long", errno),
            .NOMEM, .AGAIN, .MFILE, .NFILE => sys.fail(errno),
            else => fault.refuseErrno(.command_not_executable, "the command cannot be executed", errno),
        },
        else => sys.fail(errno),
    };
}

pub fn attach(stream: *Stream, request: *const Request) Fault!void {
    const process = try requireProcess(stream, request);
    const offsets = [2]u64{
        try offsetOf(request, "stdout_offset", process, 0),
        try offsetOf(request, "stderr_offset", process, 1),
    };
    try join(stream, process, offsets, try request.boolean("stdin") orelse false, .{ .existing = true, .state = true });
}

fn offsetOf(request: *const Request, name: []const u8, process: *const Process, index: u1) Fault!u64 {
    const asked = try request.int(name, -1, std.math.maxInt(i64)) orelse 0;
    const ring = &process.channels[index].ring;
    if (asked < 0) return ring.written;
    if (asked > ring.written) return refuse(.invalid_argument, "an offset is beyond what was written");
    return @intCast(asked);
}

const Joining = struct { existing: bool, state: bool = false };

/// Attach the stream and reply where delivery starts.
fn join(stream: *Stream, process: *Process, asked: [2]u64, takes_input: bool, how: Joining) Fault!void {
    var offsets = asked;
    for (&offsets, &process.channels) |*offset, *channel| offset.* = @max(offset.*, channel.ring.start);
    _ = try View.create(process, stream, offsets, takes_input);
    var object = stream.begin(.reply);
    object.text("id", process.id);
    object.int("pid", process.pid);
    object.boolean("existing", how.existing);
    if (how.state) object.text("state", process.state());
    object.int("started_ns", process.started_ns);
    object.int("stdout_offset", offsets[0]);
    object.int("stderr_offset", offsets[1]);
    stream.finish(&object);
    stream.wake();
}

pub fn signal(stream: *Stream, request: *const Request) Fault!void {
    const process = try requireProcess(stream, request);
    const number = try request.requireInt("signal", 1, 64);
    if (process.ended) return refuse(.failed_precondition, "the process has ended");
    try process.kill(@intCast(number));
    stream.replyEmpty();
}

pub fn resize(stream: *Stream, request: *const Request) Fault!void {
    const process = try requireProcess(stream, request);
    const size = try sizeWithin(request);
    if (!process.tty) return refuse(.invalid_argument, "the process has no terminal");
    if (process.ended or !process.channels[0].open) return refuse(.failed_precondition, "the process has ended");
    try pty.resize(process.channels[0].source.fd, size);
    stream.replyEmpty();
}

fn requireId(request: *const Request) Fault![]const u8 {
    const id = try request.text("id") orelse return refuse(.invalid_argument, "the id is missing");
    if (id.len < 1 or id.len > longest_id) return refuse(.invalid_argument, "an id has 1 to 64 characters");
    for (id) |character| {
        if (!std.ascii.isAlphanumeric(character) and std.mem.findScalar(u8, "._-", character) == null) {
            return refuse(.invalid_argument, "an id has only letters, digits, dots, dashes and underscores");
        }
    }
    return id;
}

fn requireProcess(stream: *Stream, request: *const Request) Fault!*Process {
    const id = try requireId(request);
    return stream.connection.agent.processes.find(id) orelse refuse(.not_found, "no process has this id");
}

fn sizeOf(request: *const Request) Fault!?pty.Size {
    const value = request.get("tty") orelse return null;
    if (value != .object) return refuse(.invalid_argument, "tty must be an object with rows and cols");
    return try sizeWithin(&.{ .arena = request.arena, .members = value.object });
}

fn sizeWithin(request: *const Request) Fault!pty.Size {
    return .{
        .rows = @intCast(try request.requireInt("rows", 1, std.math.maxInt(u16))),
        .cols = @intCast(try request.requireInt("cols", 1, std.math.maxInt(u16))),
    };
}

fn userOf(arena: std.mem.Allocator, name: []const u8) Fault!?users.User {
    const user = try users.find(arena, name);
    // Without the right to change users, the agent's own is still fine.
    if (linux.geteuid() != 0 and user.uid == linux.getuid() and user.gid == linux.getgid()) return null;
    return user;
}
