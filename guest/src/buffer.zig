//! A queue of bytes: appended at the end, consumed at the front. Running out of memory is remembered in `failed`, so that
//! building a frame needs no error handling at every field.

const std = @import("std");
const heap = @import("heap.zig");

pub const Buffer = struct {
    memory: []u8 = &.{},
    start: usize = 0,
    end: usize = 0,
    failed: bool = false,

    /// Memory kept when the buffer runs empty.
    const keep = 16 * 1024;

    pub fn bytes(buffer: *const Buffer) []u8 {
        return buffer.memory[buffer.start..buffer.end];
    }

    pub fn len(buffer: *const Buffer) usize {
        return buffer.end - buffer.start;
    }

    /// At least `count` writable bytes behind the end; `commit` makes them part of the queue.
    pub fn room(buffer: *Buffer, count: usize) ?[]u8 {
        if (buffer.memory.len - buffer.end < count) {
            const used = buffer.len();
            if (buffer.start >= used and buffer.memory.len - used >= count) {
                @memcpy(buffer.memory[0..used], buffer.bytes());
            } else {
                const size = std.math.ceilPowerOfTwo(usize, @max(4096, used + count)) catch return buffer.fail();
                const memory = heap.allocator.alloc(u8, size) catch return buffer.fail();
                @memcpy(memory[0..used], buffer.bytes());
                if (buffer.memory.len > 0) heap.allocator.free(buffer.memory);
                buffer.memory = memory;
            }
            buffer.start = 0;
            buffer.end = used;
        }
        return buffer.memory[buffer.end..];
    }

    fn fail(buffer: *Buffer) ?[]u8 {
        buffer.failed = true;
        return null;
    }

    pub fn commit(buffer: *Buffer, count: usize) void {
        buffer.end += count;
    }

    pub fn append(buffer: *Buffer, more: []const u8) void {
        const space = buffer.room(more.len) orelse return;
        @memcpy(space[0..more.len], more);
        buffer.end += more.len;
    }

    pub fn consume(buffer: *Buffer, count: usize) void {
        buffer.start += count;
        if (buffer.start == buffer.end) {
            buffer.start = 0;
            buffer.end = 0;
            if (buffer.memory.len > keep) buffer.release();
        }
    }

    /// Forget everything behind the first `length` bytes.
    pub fn truncate(buffer: *Buffer, length: usize) void {
        buffer.end = buffer.start + length;
    }

    pub fn release(buffer: *Buffer) void {
        if (buffer.memory.len > 0) heap.allocator.free(buffer.memory);
        buffer.* = .{ .failed = buffer.failed };
    }
};
