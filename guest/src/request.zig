//! The fields of one request, strict about types and ranges. A field that is null counts as absent.

const std = @import("std");
const json = @import("json.zig");
const osstring = @import("osstring.zig");
const refuse = @import("fault.zig").refuse;
const Fault = @import("fault.zig").Fault;

pub const Request = struct {
    arena: std.mem.Allocator,
    members: []json.Member,

    pub fn get(request: *const Request, name: []const u8) ?json.Value {
        for (request.members) |member| {
            if (std.mem.eql(u8, member.name, name)) return if (member.value == .null) null else member.value;
        }
        return null;
    }

    /// An integer within [low, high].
    pub fn int(request: *const Request, name: []const u8, low: i64, high: i64) Fault!?i64 {
        return try integer(request.get(name) orelse return null, low, high);
    }

    pub fn requireInt(request: *const Request, name: []const u8, low: i64, high: i64) Fault!i64 {
        return try request.int(name, low, high) orelse refuse(.invalid_argument, "a number is missing");
    }

    pub fn boolean(request: *const Request, name: []const u8) Fault!?bool {
        const value = request.get(name) orelse return null;
        return if (value == .bool) value.bool else refuse(.invalid_argument, "a field must be true or false");
    }

    /// Text as it is, for fields that are no OS strings.
    pub fn text(request: *const Request, name: []const u8) Fault!?[]const u8 {
        const value = request.get(name) orelse return null;
        return if (value == .string) value.string else refuse(.invalid_argument, "a field must be a string");
    }

    pub fn os(request: *const Request, name: []const u8) Fault!?[:0]const u8 {
        return try request.osValue(request.get(name) orelse return null);
    }

    pub fn osValue(request: *const Request, value: json.Value) Fault![:0]const u8 {
        if (value != .string) return refuse(.invalid_argument, "a field must be a string");
        return try osstring.decode(request.arena, value.string) orelse
            refuse(.invalid_argument, "a string has a zero byte or bad base64");
    }

    /// A path that must be there and not empty.
    pub fn path(request: *const Request, name: []const u8) Fault![:0]const u8 {
        const value = try request.os(name) orelse return refuse(.invalid_argument, "a path is missing");
        return if (value.len > 0) value else refuse(.invalid_argument, "a path is empty");
    }
};

pub fn integer(value: json.Value, low: i64, high: i64) Fault!i64 {
    if (value != .number) return refuse(.invalid_argument, "a field must be an integer");
    const number = std.fmt.parseInt(i64, value.number, 10) catch
        return refuse(.invalid_argument, "a field must be an integer");
    if (number < low or number > high) return refuse(.invalid_argument, "a number is out of range");
    return number;
}
