//! Starts a process: clone with the agent's memory shared until exec, as vfork does, on a stack of its own.
//!
//! The child runs in the agent's memory while the agent waits. It only makes system calls on what `Plan` holds ready,
//! and writes nothing but how it failed.

const sys = @import("sys.zig");
const linux = sys.linux;
const User = @import("users.zig").User;

/// The step that failed.
pub const Stage = enum { none, clone, session, terminal, descriptors, limits, user, directory, exec };

pub const Limit = struct { resource: linux.rlimit_resource, value: linux.rlimit };

pub const Plan = struct {
    /// What to execute: tried in turn, as PATH is.
    candidates: []const [*:0]const u8,
    argv: [*:null]const ?[*:0]const u8,
    environment: [*:null]const ?[*:0]const u8,
    /// Become descriptors 0, 1 and 2. All are above 2.
    descriptors: [3]i32,
    terminal: bool,
    directory: ?[*:0]const u8,
    user: ?User,
    limits: []const Limit,
    /// The text for /proc/self/oom_score_adj, if the agent's own must not be inherited.
    oom_score: ?[]const u8,

    failed: Stage = .none,
    errno: sys.E = .SUCCESS,
};

const stack_size = 64 * 1024;
var stack: []u8 = &.{};

/// Returns the pid; on failure `plan.failed` says at what and `plan.errno` why.
pub fn spawn(plan: *Plan) sys.Error!i32 {
    if (stack.len == 0) stack = sys.map(stack_size) catch |fault| {
        plan.failed = .clone;
        plan.errno = sys.last;
        return fault;
    };
    const flags = linux.CLONE.VM | linux.CLONE.VFORK | @backingInt(linux.SIG.CHLD);
    const top = @intFromPtr(stack.ptr) + stack.len;
    const pid = sys.checkFd(linux.clone(child, top, flags, @intFromPtr(plan), null, 0, null)) catch |fault| {
        plan.failed = .clone;
        plan.errno = sys.last;
        return fault;
    };
    const outcome: *volatile Plan = plan;
    if (outcome.failed == .none) return pid;
    // Ours to reap: the loop does not know this pid.
    while (linux.errno(linux.wait4(pid, &status, 0, null)) == .INTR) {}
    return sys.fail(outcome.errno);
}

var status: i32 = 0;

fn child(address: usize) callconv(.c) u8 {
    const plan: *volatile Plan = @ptrFromInt(address);
    var stage: Stage = .session;
    plan.errno = attempt(@ptrFromInt(address), &stage);
    plan.failed = stage;
    return 127;
}

/// Returns only when a step fails.
fn attempt(plan: *const Plan, stage: *Stage) sys.E {
    if (failure(linux.setsid())) |errno| return errno;
    if (plan.terminal) {
        stage.* = .terminal;
        if (failure(linux.ioctl(plan.descriptors[0], linux.T.IOCSCTTY, 0))) |errno| return errno;
    }
    stage.* = .descriptors;
    for (plan.descriptors, 0..) |fd, number| {
        if (failure(linux.dup3(fd, @intCast(number), 0))) |errno| return errno;
    }
    if (plan.oom_score) |score| restoreOomScore(score);
    stage.* = .limits;
    for (plan.limits) |*limit| {
        if (failure(linux.setrlimit(limit.resource, &limit.value))) |errno| return errno;
    }
    stage.* = .user;
    if (plan.user) |user| {
        if (failure(linux.setgroups(user.groups.len, user.groups.ptr))) |errno| return errno;
        if (failure(linux.setresgid(user.gid, user.gid, user.gid))) |errno| return errno;
        if (failure(linux.setresuid(user.uid, user.uid, user.uid))) |errno| return errno;
    }
    stage.* = .directory;
    if (plan.directory) |directory| {
        if (failure(linux.chdir(directory))) |errno| return errno;
    }
    stage.* = .exec;
    const default: linux.Sigaction = .{ .handler = .{ .handler = linux.SIG.DFL }, .mask = linux.sigemptyset(), .flags = 0 };
    _ = linux.sigaction(.PIPE, &default, null);
    const nothing = linux.sigemptyset();
    _ = linux.sigprocmask(linux.SIG.SETMASK, &nothing, null);
    var worst: sys.E = .NOENT;
    for (plan.candidates) |candidate| {
        const errno = linux.errno(linux.execve(candidate, plan.argv, plan.environment));
        switch (errno) {
            .NOENT, .NOTDIR => {},
            // As a shell does: go on looking, but remember that there was something.
            .ACCES => worst = errno,
            else => return errno,
        }
    }
    return worst;
}

fn failure(result: usize) ?sys.E {
    const errno = linux.errno(result);
    return if (errno == .SUCCESS) null else errno;
}

fn restoreOomScore(score: []const u8) void {
    const fd = linux.open("/proc/self/oom_score_adj", .{ .ACCMODE = .WRONLY, .CLOEXEC = true }, 0);
    if (linux.errno(fd) != .SUCCESS) return;
    _ = linux.write(@intCast(fd), score.ptr, score.len);
    _ = linux.close(@intCast(fd));
}
