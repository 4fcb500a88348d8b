//! The agent's allocator. Small blocks come from free lists by powers of two; large ones are mapped and unmapped one by
//! one, so that a burst of large requests gives its memory back.

const std = @import("std");
const Allocator = std.mem.Allocator;
const Alignment = std.mem.Alignment;
const Pages = std.heap.PageAllocator;

pub const allocator: Allocator = .{ .ptr = undefined, .vtable = &.{
    .alloc = alloc,
    .resize = resize,
    .remap = remap,
    .free = free,
} };

const smallest_shift = 4;
const largest_shift = 14;
const chunk_length = 64 * 1024;

const Free = struct { next: ?*Free };

var lists: [largest_shift - smallest_shift + 1]?*Free = @splat(null);
var chunk: []u8 = &.{};

/// Index of the list for blocks of this size, or null for a block that gets pages of its own.
fn class(length: usize, alignment: Alignment) ?u6 {
    const size = @max(length, alignment.toByteUnits(), 1 << smallest_shift);
    if (size > 1 << largest_shift) return null;
    return @intCast(std.math.log2_int_ceil(usize, size) - smallest_shift);
}

fn slotSize(index: u6) usize {
    return @as(usize, 1) << (index + smallest_shift);
}

fn alloc(_: *anyopaque, length: usize, alignment: Alignment, _: usize) ?[*]u8 {
    const index = class(length, alignment) orelse return Pages.map(length, alignment);
    if (lists[index]) |slot| {
        lists[index] = slot.next;
        return @ptrCast(slot);
    }
    const size = slotSize(index);
    // Chunks start on a page and all sizes are powers of two, so the padding is less than one slot.
    var padding = std.mem.alignForward(usize, @intFromPtr(chunk.ptr), @min(size, 4096)) - @intFromPtr(chunk.ptr);
    if (chunk.len < padding + size) {
        const memory = Pages.map(chunk_length, .fromByteUnits(4096)) orelse return null;
        chunk = memory[0..chunk_length];
        padding = 0;
    }
    const slot = chunk[padding..].ptr;
    chunk = chunk[padding + size ..];
    return slot;
}

fn resize(_: *anyopaque, memory: []u8, alignment: Alignment, length: usize, _: usize) bool {
    const index = class(memory.len, alignment) orelse {
        if (class(length, alignment) != null) return false;
        return Pages.realloc(memory, alignment, length, false) != null;
    };
    return class(length, alignment) == index;
}

fn remap(context: *anyopaque, memory: []u8, alignment: Alignment, length: usize, address: usize) ?[*]u8 {
    if (class(memory.len, alignment) == null) {
        if (class(length, alignment) != null) return null;
        return Pages.realloc(memory, alignment, length, true);
    }
    return if (resize(context, memory, alignment, length, address)) memory.ptr else null;
}

fn free(_: *anyopaque, memory: []u8, alignment: Alignment, _: usize) void {
    const index = class(memory.len, alignment) orelse return Pages.unmap(@alignCast(memory));
    const slot: *Free = @ptrCast(@alignCast(memory.ptr));
    slot.next = lists[index];
    lists[index] = slot;
}
