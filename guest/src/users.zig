//! Who a process runs as, from /etc/passwd and /etc/group where a name asks for them.

const std = @import("std");
const fault = @import("fault.zig");
const sys = @import("sys.zig");
const Allocator = std.mem.Allocator;

const largest_file = 1024 * 1024;
const most_groups = 64;

pub const User = struct {
    uid: u32,
    gid: u32,
    groups: []const u32,
};

/// A name, a uid, or uid:gid. A uid that /etc/passwd does not know has the gid of the same number.
pub fn find(arena: Allocator, text: []const u8) fault.Fault!User {
    const colon = std.mem.findScalar(u8, text, ':');
    const name = text[0 .. colon orelse text.len];
    const uid = std.fmt.parseInt(u32, name, 10) catch null;
    const entry = try lookUp(arena, name, uid);
    if (colon) |at| {
        const gid = std.fmt.parseInt(u32, text[at + 1 ..], 10) catch return unknown();
        return .{ .uid = uid orelse return unknown(), .gid = gid, .groups = &.{} };
    }
    if (entry) |found| {
        return .{ .uid = found.uid, .gid = found.gid, .groups = try groupsOf(arena, found.name, found.gid) };
    }
    const number = uid orelse return unknown();
    return .{ .uid = number, .gid = number, .groups = &.{} };
}

fn unknown() error{Refused} {
    return fault.refuse(.no_such_user, "no such user");
}

const Entry = struct { name: []const u8, uid: u32, gid: u32 };

fn lookUp(arena: Allocator, name: []const u8, uid: ?u32) fault.Fault!?Entry {
    const text = sys.readFile("/etc/passwd", try arena.alloc(u8, largest_file)) orelse return null;
    var lines = std.mem.splitScalar(u8, text, '\n');
    while (lines.next()) |line| {
        var fields = std.mem.splitScalar(u8, line, ':');
        const user = fields.first();
        _ = fields.next();
        const user_id = std.fmt.parseInt(u32, fields.next() orelse continue, 10) catch continue;
        const group_id = std.fmt.parseInt(u32, fields.next() orelse continue, 10) catch continue;
        const same = if (uid) |wanted| user_id == wanted else std.mem.eql(u8, user, name);
        if (same) return .{ .name = user, .uid = user_id, .gid = group_id };
    }
    return null;
}

fn groupsOf(arena: Allocator, name: []const u8, own: u32) fault.Fault![]const u32 {
    var groups: std.ArrayList(u32) = .empty;
    try groups.append(arena, own);
    const text = sys.readFile("/etc/group", try arena.alloc(u8, largest_file)) orelse return groups.items;
    var lines = std.mem.splitScalar(u8, text, '\n');
    while (lines.next()) |line| {
        if (groups.items.len == most_groups) break;
        var fields = std.mem.splitScalar(u8, line, ':');
        _ = fields.first();
        _ = fields.next();
        const gid = std.fmt.parseInt(u32, fields.next() orelse continue, 10) catch continue;
        var members = std.mem.splitScalar(u8, fields.next() orelse continue, ',');
        while (members.next()) |member| {
            if (gid != own and std.mem.eql(u8, member, name)) try groups.append(arena, gid);
        }
    }
    return groups.items;
}
