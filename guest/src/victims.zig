//! Finds and kills the processes in the agent's care: everything when it is PID 1, else its descendants.

const std = @import("std");
const heap = @import("heap.zig");
const procfs = @import("procfs.zig");
const sys = @import("sys.zig");
const linux = sys.linux;
const Agent = @import("agent.zig").Agent;

/// How long to go on killing what appears anew.
const patience_ns = 2 * std.time.ns_per_s;
const pause_ns = 2 * std.time.ns_per_ms;

/// Signal every process.
pub fn signalAll(agent: *Agent, signal: linux.SIG) void {
    if (linux.getpid() == 1) {
        _ = linux.kill(-1, signal);
        return;
    }
    var processes = agent.processes.iterate();
    while (processes.next()) |process| {
        if (!process.ended) _ = linux.kill(-process.pid, signal);
    }
    // Those that left their group, or whose parent is gone. Without /proc there is no way to know them.
    const descendants = procfs.descendants(heap.allocator) catch return;
    defer heap.allocator.free(descendants);
    for (descendants) |pid| _ = linux.kill(pid, signal);
}

/// Before the agent exits. When it is PID 1 the kernel does the same; a supervised one must not leave anything.
pub fn killAll(agent: *Agent) void {
    const deadline = sys.monotonic() + patience_ns;
    while (sys.monotonic() < deadline) {
        signalAll(agent, .KILL);
        if (!reapSome()) return;
        const pause: linux.timespec = .{ .sec = 0, .nsec = pause_ns };
        _ = linux.nanosleep(&pause, null);
    }
}

/// False: there are no children left.
fn reapSome() bool {
    while (true) {
        var status: i32 = 0;
        const pid = sys.check(linux.wait4(-1, &status, linux.W.NOHANG, null)) catch return sys.last == .INTR;
        if (pid == 0) return true;
    }
}

/// How many processes are left, as far as the agent can see.
pub fn count(agent: *Agent) usize {
    if (procfs.descendants(heap.allocator)) |descendants| {
        defer heap.allocator.free(descendants);
        return descendants.len;
    } else |_| {}
    return agent.processes.running;
}
