//! The newest bytes of one output channel, addressed by their offset from the first byte ever written. Memory is mapped
//! with the first byte; pages that were never written cost nothing.

const std = @import("std");
const sys = @import("sys.zig");
const linux = sys.linux;

const page = std.heap.page_size_min;

pub const Ring = struct {
    capacity: usize,
    memory: []align(page) u8 = &.{},
    /// Offset behind the newest byte: everything ever written.
    written: u64 = 0,
    /// Offset of the oldest byte that is kept.
    start: u64 = 0,

    pub fn held(ring: *const Ring) usize {
        return @intCast(ring.written - ring.start);
    }

    /// Where the next bytes go: at most `count`, in at most two parts.
    pub fn space(ring: *Ring, count: usize) sys.Error![2][]u8 {
        if (ring.memory.len == 0) ring.memory = try sys.map(std.mem.alignForward(usize, ring.capacity, page));
        return ring.parts(ring.written, count);
    }

    fn parts(ring: *const Ring, offset: u64, count: usize) [2][]u8 {
        const position: usize = @intCast(offset % ring.capacity);
        const first = @min(count, ring.capacity - position);
        return .{ ring.memory[position..][0..first], ring.memory[0 .. count - first] };
    }

    /// `count` bytes were put into `space`; the oldest give way.
    pub fn wrote(ring: *Ring, count: usize) void {
        ring.written += count;
        ring.start = @max(ring.start, ring.written -| ring.capacity);
    }

    pub fn bytes(ring: *const Ring, offset: u64, count: usize) [2][]const u8 {
        if (count == 0) return .{ &.{}, &.{} };
        const both = ring.parts(offset, count);
        return .{ both[0], both[1] };
    }

    /// Memory that a finished process's ring occupies, in whole pages.
    pub fn footprint(ring: *const Ring) usize {
        return std.mem.alignForward(usize, ring.held(), page);
    }

    /// Nothing more will be written: give back the memory behind the last byte.
    pub fn trim(ring: *Ring) void {
        if (ring.written >= ring.capacity) return;
        const used = std.mem.alignForward(usize, @intCast(ring.written), page);
        if (used >= ring.memory.len) return;
        sys.unmap(@alignCast(ring.memory[used..]));
        ring.memory = ring.memory[0..used];
    }

    /// Forget all but the newest bytes.
    pub fn keep(ring: *Ring, newest: usize) void {
        if (ring.held() <= newest) return;
        const old = ring.bytes(ring.start, ring.held() - newest);
        ring.start = ring.written - newest;
        if (newest == 0) return ring.release();
        for (old) |part| {
            const from = std.mem.alignForward(usize, @intFromPtr(part.ptr), page);
            const to = std.mem.alignBackward(usize, @intFromPtr(part.ptr) + part.len, page);
            if (from < to) _ = linux.madvise(@ptrFromInt(from), to - from, linux.MADV.DONTNEED);
        }
    }

    pub fn release(ring: *Ring) void {
        sys.unmap(ring.memory);
        ring.memory = &.{};
        ring.start = ring.written;
    }
};
