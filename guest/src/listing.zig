//! The operation `list`: an EVENT per process.

const fault = @import("fault.zig");
const heap = @import("heap.zig");
const Pump = @import("stream.zig").Pump;
const Request = @import("request.zig").Request;
const Stream = @import("stream.zig").Stream;

pub const Listing = struct {
    stream: *Stream,
    /// Of the process that was sent last.
    sequence: u64 = 0,

    pub fn pump(listing: *Listing) Pump {
        const process = listing.stream.connection.agent.processes.after(listing.sequence) orelse
            return listing.stream.endEmpty();
        var object = listing.stream.begin(.event);
        process.describe(&object);
        if (!listing.stream.finishEvent(&object)) return .idle;
        listing.sequence = process.sequence;
        return .more;
    }

    pub fn data(listing: *Listing, bytes: []const u8) void {
        listing.stream.consumed(bytes.len);
    }

    pub fn eof(_: *Listing) void {}

    pub fn close(listing: *Listing) void {
        heap.allocator.destroy(listing);
    }
};

pub fn start(stream: *Stream, _: *const Request) fault.Fault!void {
    const listing = try heap.allocator.create(Listing);
    listing.* = .{ .stream = stream };
    stream.task = .{ .listing = listing };
    stream.wake();
}
