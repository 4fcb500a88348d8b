//! The end of the agent in steps: ask every process to end, wait, force, report, exit.

const std = @import("std");
const fault = @import("fault.zig");
const heap = @import("heap.zig");
const loops = @import("loop.zig");
const sys = @import("sys.zig");
const victims = @import("victims.zig");
const Agent = @import("agent.zig").Agent;
const Pump = @import("stream.zig").Pump;
const Request = @import("request.zig").Request;
const Stream = @import("stream.zig").Stream;

const longest_grace_ms = 24 * 60 * 60 * 1000;
/// How long the last frames may take to go out.
const farewell_ns = std.time.ns_per_s;

pub const Ending = struct {
    pub const default_grace_ms = 5000;

    agent: *Agent,
    stream: ?*Stream,
    grace: loops.Timer = .{ .due = onGrace },
    farewell: loops.Timer = .{ .due = onFarewell },
    killed: usize = 0,
    forced: bool = false,
    over: bool = false,

    /// Ask everything to end. Without a stream nobody is told. A second time only listens to the first.
    pub fn begin(agent: *Agent, stream: ?*Stream, grace_ms: u64) error{ OutOfMemory, Refused }!void {
        if (agent.ending != null) {
            if (stream == null) return;
            return fault.refuse(.failed_precondition, "the agent is shutting down already");
        }
        const ending = try heap.allocator.create(Ending);
        ending.* = .{ .agent = agent, .stream = stream };
        agent.ending = ending;
        if (stream) |teller| {
            teller.replyEmpty();
            teller.task = .{ .ending = ending };
        }
        agent.loop.arm(&ending.grace, sys.monotonic() + grace_ms * std.time.ns_per_ms);
        victims.signalAll(agent, .TERM);
        agent.reap();
    }

    fn onGrace(timer: *loops.Timer) void {
        const ending: *Ending = @fieldParentPtr("grace", timer);
        ending.killed = victims.count(ending.agent);
        ending.forced = true;
        // Reaped like any other; the farewell waits for that, but not forever.
        victims.signalAll(ending.agent, .KILL);
        ending.agent.loop.arm(&ending.farewell, sys.monotonic() + farewell_ns);
        ending.agent.reap();
    }

    /// The agent has no children left.
    pub fn allGone(ending: *Ending) void {
        if (ending.over) return;
        ending.over = true;
        ending.agent.loop.disarm(&ending.grace);
        ending.agent.loop.arm(&ending.farewell, sys.monotonic() + farewell_ns);
        if (ending.stream) |stream| stream.wake() else ending.agent.leaving = true;
    }

    fn onFarewell(timer: *loops.Timer) void {
        const ending: *Ending = @fieldParentPtr("farewell", timer);
        if (ending.over) {
            ending.agent.status = 0;
            return;
        }
        ending.allGone();
    }

    pub fn pump(ending: *Ending) Pump {
        if (!ending.over) return .idle;
        const stream = ending.stream.?;
        // The processes' own streams first: they tell how each ended.
        if (stream.connection.open_streams > 1 and stream.connection.ready.first != null) return .more;
        var object = stream.begin(.end);
        object.int("killed", ending.killed);
        stream.finish(&object);
        return stream.over();
    }

    pub fn data(ending: *Ending, bytes: []const u8) void {
        ending.stream.?.consumed(bytes.len);
    }

    pub fn eof(_: *Ending) void {}

    /// The host does not listen any more: the end goes on without it.
    pub fn close(ending: *Ending) void {
        ending.stream = null;
        if (ending.over) ending.agent.leaving = true;
    }
};

pub fn start(stream: *Stream, request: *const Request) fault.Fault!void {
    const grace = try request.int("grace_ms", 0, longest_grace_ms) orelse Ending.default_grace_ms;
    try Ending.begin(stream.connection.agent, stream, @intCast(grace));
}
