//! The event loop: descriptors through epoll, and timers. One thread, no locks.

const std = @import("std");
const sys = @import("sys.zig");
const linux = sys.linux;

pub const readable: u32 = linux.EPOLL.IN;
pub const writable: u32 = linux.EPOLL.OUT;
pub const hung_up: u32 = linux.EPOLL.HUP | linux.EPOLL.ERR;
pub const edge: u32 = linux.EPOLL.ET;

/// A descriptor the loop watches. It lies inside the object that owns the descriptor.
pub const Source = struct {
    fd: i32 = -1,
    interest: u32 = 0,
    added: bool = false,
    ready: *const fn (source: *Source, events: u32) void,
};

/// A deadline. It lies inside the object it belongs to.
pub const Timer = struct {
    due: *const fn (timer: *Timer) void,
    deadline: u64 = 0,
    armed: bool = false,
    node: std.DoublyLinkedList.Node = .{},
};

const batch = 64;
const never = std.math.maxInt(u64);

pub const Loop = struct {
    epoll: i32 = -1,
    timers: std.DoublyLinkedList = .{},
    /// Not later than the first deadline. It may be earlier: then one wait ends early and computes it anew.
    next: u64 = never,
    events: [batch]linux.epoll_event = undefined,
    pending: []linux.epoll_event = &.{},

    pub fn open(loop: *Loop) sys.Error!void {
        loop.epoll = try sys.checkFd(linux.epoll_create1(linux.EPOLL.CLOEXEC));
    }

    pub fn add(loop: *Loop, source: *Source, interest: u32) sys.Error!void {
        try loop.control(linux.EPOLL.CTL_ADD, source, interest);
        source.added = true;
    }

    pub fn change(loop: *Loop, source: *Source, interest: u32) void {
        if (source.interest == interest) return;
        loop.control(linux.EPOLL.CTL_MOD, source, interest) catch {};
    }

    fn control(loop: *Loop, operation: u32, source: *Source, interest: u32) sys.Error!void {
        var event: linux.epoll_event = .{ .events = interest, .data = .{ .ptr = @intFromPtr(source) } };
        _ = try sys.check(linux.epoll_ctl(loop.epoll, operation, source.fd, &event));
        source.interest = interest;
    }

    /// Close the descriptor and forget what this turn still holds for it.
    pub fn close(loop: *Loop, source: *Source) void {
        if (source.fd < 0) return;
        // Explicit: a child on its way to exec still holds the open file, and with it the place in the epoll set.
        if (source.added) _ = linux.epoll_ctl(loop.epoll, linux.EPOLL.CTL_DEL, source.fd, null);
        sys.close(source.fd);
        source.fd = -1;
        source.interest = 0;
        source.added = false;
        for (loop.pending) |*event| {
            if (event.data.ptr == @intFromPtr(source)) event.data.ptr = 0;
        }
    }

    pub fn arm(loop: *Loop, timer: *Timer, deadline: u64) void {
        timer.deadline = deadline;
        if (!timer.armed) loop.timers.append(&timer.node);
        timer.armed = true;
        loop.next = @min(loop.next, deadline);
    }

    pub fn disarm(loop: *Loop, timer: *Timer) void {
        if (!timer.armed) return;
        timer.armed = false;
        loop.timers.remove(&timer.node);
    }

    /// Wait for events or the next deadline and handle them. `busy`: do not wait.
    pub fn turn(loop: *Loop, busy: bool) void {
        const count = sys.check(linux.epoll_wait(loop.epoll, &loop.events, batch, loop.timeout(busy))) catch 0;
        loop.pending = loop.events[0..count];
        while (loop.pending.len > 0) {
            const event = loop.pending[0];
            loop.pending = loop.pending[1..];
            if (event.data.ptr == 0) continue;
            const source: *Source = @ptrFromInt(event.data.ptr);
            source.ready(source, event.events);
        }
        if (loop.next != never and sys.monotonic() >= loop.next) loop.expire();
    }

    fn timeout(loop: *Loop, busy: bool) i32 {
        if (busy) return 0;
        if (loop.next == never) return -1;
        const left = (loop.next -| sys.monotonic() + std.time.ns_per_ms - 1) / std.time.ns_per_ms;
        return @intCast(@min(left, 60_000));
    }

    fn expire(loop: *Loop) void {
        const now = sys.monotonic();
        loop.next = never;
        // Start over after each: a timer that fires may disarm others.
        search: while (true) {
            var node = loop.timers.first;
            while (node) |at| : (node = at.next) {
                const timer: *Timer = @fieldParentPtr("node", at);
                if (timer.deadline > now) continue;
                loop.disarm(timer);
                timer.due(timer);
                continue :search;
            }
            break;
        }
        var node = loop.timers.first;
        while (node) |at| : (node = at.next) {
            const timer: *Timer = @fieldParentPtr("node", at);
            loop.next = @min(loop.next, timer.deadline);
        }
    }
};
