//! What a request says about the command to run: arguments, environment, where to look for it, limits.

const std = @import("std");
const json = @import("json.zig");
const requests = @import("request.zig");
const linux = @import("sys.zig").linux;
const refuse = @import("fault.zig").refuse;
const Agent = @import("agent.zig").Agent;
const Fault = @import("fault.zig").Fault;
const Limit = @import("spawn.zig").Limit;
const Request = requests.Request;

/// What `list` shows of the arguments.
const shown_arguments = 4096;

pub fn arguments(request: *const Request) Fault![:null]?[*:0]const u8 {
    const value = request.get("argv") orelse return refuse(.invalid_argument, "argv is missing");
    if (value != .array or value.array.len == 0) return refuse(.invalid_argument, "argv must be a list and not empty");
    const all = try request.arena.allocSentinel(?[*:0]const u8, value.array.len, null);
    for (all, value.array) |*argument, item| argument.* = try request.osValue(item);
    if (all[0].?[0] == 0) return refuse(.command_not_found, "the command is empty");
    return all;
}

/// Arguments for `list`: each with a zero byte behind it, cut to a total length.
pub fn shown(arena: std.mem.Allocator, all: []const ?[*:0]const u8) Fault![]const u8 {
    var text: std.ArrayList(u8) = .empty;
    for (all) |argument| {
        const left = shown_arguments - @min(shown_arguments, text.items.len);
        if (left == 0) break;
        const whole = std.mem.span(argument.?);
        try text.appendSlice(arena, whole[0..@min(whole.len, left)]);
        try text.append(arena, 0);
    }
    return text.items;
}

/// The agent's own environment with the request's laid over it.
pub fn environment(request: *const Request, own: []const [*:0]const u8) Fault![:null]?[*:0]const u8 {
    const overlay: []json.Member = if (request.get("env")) |value|
        (if (value == .object) value.object else return refuse(.invalid_argument, "env must be an object"))
    else
        &.{};
    const names = try request.arena.alloc([]const u8, overlay.len);
    for (names, overlay) |*name, member| {
        name.* = try request.osValue(.{ .string = member.name });
        if (name.len == 0 or std.mem.findScalar(u8, name.*, '=') != null) {
            return refuse(.invalid_argument, "a variable's name is empty or has an equals sign");
        }
    }
    var all: std.ArrayList(?[*:0]const u8) = .empty;
    for (own) |entry| {
        const text = std.mem.span(entry);
        const own_name = text[0 .. std.mem.findScalar(u8, text, '=') orelse text.len];
        if (!contains(names, own_name)) try all.append(request.arena, entry);
    }
    for (names, overlay) |name, member| {
        if (member.value == .null) continue;
        const value = try request.osValue(member.value);
        const parts = [_][]const u8{ name, "=", value };
        const entry = try std.mem.concatWithSentinel(request.arena, u8, &parts, 0);
        try all.append(request.arena, entry.ptr);
    }
    return try all.toOwnedSliceSentinel(request.arena, null);
}

fn contains(names: []const []const u8, wanted: []const u8) bool {
    for (names) |name| if (std.mem.eql(u8, name, wanted)) return true;
    return false;
}

/// Paths to try: the command itself if it has a slash, else in every directory of PATH.
pub fn candidates(arena: std.mem.Allocator, command: [:0]const u8, variables: [:null]const ?[*:0]const u8) Fault![]const [*:0]const u8 {
    var paths: std.ArrayList([*:0]const u8) = .empty;
    if (std.mem.findScalar(u8, command, '/') != null) {
        try paths.append(arena, command.ptr);
        return paths.items;
    }
    var path: []const u8 = Agent.default_path;
    for (variables) |entry| {
        const text = std.mem.span(entry.?);
        if (std.mem.startsWith(u8, text, "PATH=")) path = text[5..];
    }
    var directories = std.mem.splitScalar(u8, path, ':');
    while (directories.next()) |directory| {
        const parts = [_][]const u8{ if (directory.len > 0) directory else ".", "/", command };
        const candidate = try std.mem.concatWithSentinel(arena, u8, &parts, 0);
        try paths.append(arena, candidate.ptr);
    }
    return paths.items;
}

pub fn limits(request: *const Request) Fault![]const Limit {
    const value = request.get("rlimits") orelse return &.{};
    if (value != .object) return refuse(.invalid_argument, "rlimits must be an object");
    const all = try request.arena.alloc(Limit, value.object.len);
    for (all, value.object) |*limit, member| {
        const pair = if (member.value == .array) member.value.array else &.{};
        if (pair.len != 2) return refuse(.invalid_argument, "a limit must be a pair: soft and hard");
        limit.* = .{
            .resource = resourceOf(member.name) orelse return refuse(.invalid_argument, "there is no such limit"),
            .value = .{ .cur = try limitValue(pair[0]), .max = try limitValue(pair[1]) },
        };
    }
    return all;
}

/// -1 is no limit.
fn limitValue(value: json.Value) Fault!u64 {
    const number = try requests.integer(value, -1, std.math.maxInt(i64));
    return if (number < 0) linux.RLIM.INFINITY else @intCast(number);
}

fn resourceOf(name: []const u8) ?linux.rlimit_resource {
    const known = [_]struct { []const u8, linux.rlimit_resource }{
        .{ "cpu", .CPU },     .{ "fsize", .FSIZE },   .{ "data", .DATA },       .{ "stack", .STACK }, .{ "core", .CORE },
        .{ "nproc", .NPROC }, .{ "nofile", .NOFILE }, .{ "memlock", .MEMLOCK }, .{ "as", .AS },
    };
    for (known) |entry| if (std.mem.eql(u8, entry[0], name)) return entry[1];
    return null;
}
