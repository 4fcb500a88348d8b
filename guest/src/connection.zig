//! One host connection: bytes in to frames, frames out to bytes, and the table of its streams.

const std = @import("std");
const frame = @import("frame.zig");
const heap = @import("heap.zig");
const json = @import("json.zig");
const loops = @import("loop.zig");
const operations = @import("operations.zig");
const sys = @import("sys.zig");
const linux = sys.linux;
const Agent = @import("agent.zig").Agent;
const Buffer = @import("buffer.zig").Buffer;
const Decoder = @import("decoder.zig").Decoder;
const Bulk = @import("bulk.zig").Bulk;
const Stream = @import("stream.zig").Stream;

const buckets = 64;
/// Frames in `out` beyond which streams wait with more.
const enough_out = 192 * 1024;
/// Frames in `out` beyond which the host is not listened to: it has to read first.
const too_much_out = 1024 * 1024;
/// The connection is given up when `out` grows beyond this in spite of that.
const most_out = 4 * 1024 * 1024;
const writes_per_turn = 16;

pub const Connection = struct {
    agent: *Agent,
    node: std.DoublyLinkedList.Node = .{},
    input: loops.Source,
    /// Only on --stdio another descriptor than `input`.
    output: loops.Source,
    greeted: bool = false,
    /// Broken or over: closed at the end of the turn.
    dead: bool = false,
    /// The socket took no more bytes.
    blocked: bool = false,
    flushing: bool = false,
    flush_node: std.DoublyLinkedList.Node = .{},

    streams: [buckets]?*Stream = @splat(null),
    open_streams: u32 = 0,
    last_stream: u32 = 0,
    /// Streams to pump, in turn.
    ready: std.DoublyLinkedList = .{},

    decoder: Decoder = .{},
    out: Buffer = .{},
    frame_start: usize = 0,

    pub fn create(agent: *Agent, input: i32, output: i32) !*Connection {
        const connection = try heap.allocator.create(Connection);
        errdefer heap.allocator.destroy(connection);
        connection.* = .{
            .agent = agent,
            .input = .{ .fd = input, .ready = onInput },
            .output = .{ .fd = output, .ready = onOutput },
        };
        try agent.loop.add(&connection.input, loops.readable);
        connection.hello();
        return connection;
    }

    /// Close the descriptors and let every stream go.
    pub fn destroy(connection: *Connection) void {
        for (connection.streams) |first| {
            var next = first;
            while (next) |stream| {
                next = stream.chained;
                stream.destroy();
            }
        }
        const shared = connection.output.fd == connection.input.fd;
        connection.agent.loop.close(&connection.input);
        if (!shared) connection.agent.loop.close(&connection.output);
        connection.decoder.release();
        connection.out.release();
        heap.allocator.destroy(connection);
    }

    /// The connection is of no more use.
    pub fn fail(connection: *Connection) void {
        if (connection.dead) return;
        connection.dead = true;
        connection.agent.scheduleFlush(connection);
    }

    fn hello(connection: *Connection) void {
        const agent = connection.agent;
        connection.begin(.hello, 0, 0);
        var object: json.Object = .begin(&connection.out);
        object.int("version", frame.version);
        object.text("agent", Agent.release);
        object.text("arch", Agent.architecture);
        object.int("pid", linux.getpid());
        object.int("uid", linux.getuid());
        object.text("boot", &agent.boot);
        object.int("time_ns", sys.realtime());
        object.os("workdir", agent.workdir);
        object.key("features");
        connection.out.append("[");
        for (operations.names, 0..) |name, index| {
            if (index > 0) connection.out.append(",");
            json.string(&connection.out, name);
        }
        connection.out.append("]");
        object.end();
        _ = connection.finish();
    }

    // Input.

    fn onInput(source: *loops.Source, events: u32) void {
        const connection: *Connection = @fieldParentPtr("input", source);
        if (connection.dead) return;
        if (events & loops.writable != 0) connection.unblock();
        if (events & (loops.readable | loops.hung_up) != 0) connection.receive();
    }

    fn receive(connection: *Connection) void {
        const buffer = connection.agent.receiveBuffer();
        const count = sys.read(connection.input.fd, buffer) catch {
            if (sys.last != .AGAIN) connection.fail();
            return;
        };
        if (count == 0) return connection.fail();
        connection.agent.received(count);
        connection.feed(buffer[0..count]) catch return connection.fail();
        connection.listenOrNot();
    }

    /// Stop to listen while the host does not read what it asked for.
    fn listenOrNot(connection: *Connection) void {
        if (connection.dead) return;
        var interest: u32 = if (connection.out.len() > too_much_out) 0 else loops.readable;
        if (connection.blocked and connection.output.fd == connection.input.fd) interest |= loops.writable;
        connection.agent.loop.change(&connection.input, interest);
    }

    fn feed(connection: *Connection, bytes: []const u8) error{ Malformed, OutOfMemory }!void {
        var rest = bytes;
        while (rest.len > 0 and !connection.dead) {
            const step = try connection.decoder.next(rest);
            rest = rest[step.used..];
            defer connection.decoder.done();
            const header = step.header orelse continue;
            try connection.accept(header, step.payload);
        }
    }

    fn accept(connection: *Connection, header: frame.Header, payload: []const u8) error{ Malformed, OutOfMemory }!void {
        if (!connection.greeted) {
            if (header.type != .hello) return error.Malformed;
            try connection.greet(payload);
            return;
        }
        switch (header.type) {
            .hello => return error.Malformed,
            .ping => connection.send(.pong, 0, payload),
            .pong => {},
            .request => {
                if (header.stream <= connection.last_stream) return error.Malformed;
                connection.last_stream = header.stream;
                try operations.start(connection, header.stream, payload);
            },
            .data, .eof, .window, .cancel => {
                if (header.stream > connection.last_stream) return error.Malformed;
                // The host may not know yet that the stream has ended.
                const stream = connection.find(header.stream) orelse return;
                try connection.deliver(stream, header.type, payload);
            },
            else => return error.Malformed,
        }
        if (connection.out.len() > most_out) return error.OutOfMemory;
    }

    fn greet(connection: *Connection, payload: []const u8) error{ Malformed, OutOfMemory }!void {
        var arena: std.heap.ArenaAllocator = .init(heap.allocator);
        defer arena.deinit();
        const value = try json.parse(arena.allocator(), payload);
        if (value != .object) return error.Malformed;
        for (value.object) |member| {
            if (!std.mem.eql(u8, member.name, "version")) continue;
            if (member.value != .number or !std.mem.eql(u8, member.value.number, "1")) return error.Malformed;
            connection.greeted = true;
        }
        if (!connection.greeted) return error.Malformed;
    }

    fn deliver(connection: *Connection, stream: *Stream, kind: frame.Type, payload: []const u8) error{Malformed}!void {
        switch (kind) {
            .data => {
                if (stream.input_ended or payload.len > stream.allowance) return error.Malformed;
                stream.allowance -= @intCast(payload.len);
                stream.data(payload);
            },
            .eof => {
                if (stream.input_ended) return error.Malformed;
                stream.eof();
            },
            .window => {
                stream.credit +|= std.mem.readInt(u32, payload[0..4], .little);
                connection.schedule(stream);
            },
            else => stream.destroy(),
        }
    }

    // Streams.

    pub fn find(connection: *Connection, id: u32) ?*Stream {
        var next = connection.streams[id % buckets];
        while (next) |stream| : (next = stream.chained) {
            if (stream.id == id) return stream;
        }
        return null;
    }

    pub fn open(connection: *Connection, id: u32) error{OutOfMemory}!*Stream {
        const stream = try heap.allocator.create(Stream);
        stream.* = .{ .connection = connection, .id = id, .chained = connection.streams[id % buckets] };
        connection.streams[id % buckets] = stream;
        connection.open_streams += 1;
        return stream;
    }

    pub fn forget(connection: *Connection, stream: *Stream) void {
        var link = &connection.streams[stream.id % buckets];
        while (link.*) |other| : (link = &other.chained) {
            if (other != stream) continue;
            link.* = stream.chained;
            connection.open_streams -= 1;
            break;
        }
        if (stream.ready) connection.ready.remove(&stream.node);
        stream.ready = false;
    }

    pub fn schedule(connection: *Connection, stream: *Stream) void {
        if (!stream.ready) {
            stream.ready = true;
            connection.ready.append(&stream.node);
        }
        connection.agent.scheduleFlush(connection);
    }

    // Output.

    /// Begin a frame whose payload is appended to `out`.
    pub fn begin(connection: *Connection, kind: frame.Type, stream: u32, flags: u8) void {
        connection.frame_start = connection.out.len();
        const header: frame.Header = .{ .length = 0, .stream = stream, .type = kind, .flags = flags };
        connection.out.append(&header.encode());
    }

    /// Bytes of payload so far.
    pub fn building(connection: *Connection) usize {
        return connection.out.len() -| (connection.frame_start + frame.header_length);
    }

    /// Complete the frame. Returns the length of its payload.
    pub fn finish(connection: *Connection) usize {
        connection.agent.scheduleFlush(connection);
        if (connection.out.failed) {
            connection.fail();
            return 0;
        }
        const length = connection.building();
        std.mem.writeInt(u32, connection.out.bytes()[connection.frame_start..][0..4], @intCast(length), .little);
        return length;
    }

    /// Take the unfinished frame back.
    pub fn abandon(connection: *Connection) void {
        connection.out.truncate(connection.frame_start);
    }

    pub fn send(connection: *Connection, kind: frame.Type, stream: u32, payload: []const u8) void {
        connection.begin(kind, stream, 0);
        connection.out.append(payload);
        _ = connection.finish();
    }

    fn onOutput(source: *loops.Source, _: u32) void {
        const connection: *Connection = @fieldParentPtr("output", source);
        if (!connection.dead) connection.unblock();
    }

    fn unblock(connection: *Connection) void {
        connection.blocked = false;
        if (connection.output.fd != connection.input.fd) connection.agent.loop.change(&connection.output, 0);
        connection.agent.scheduleFlush(connection);
    }

    fn block(connection: *Connection) void {
        connection.blocked = true;
        if (connection.output.fd == connection.input.fd) return connection.listenOrNot();
        if (!connection.output.added) {
            connection.agent.loop.add(&connection.output, loops.writable) catch connection.fail();
        } else {
            connection.agent.loop.change(&connection.output, loops.writable);
        }
    }

    /// Write what there is. False: the turn's share is used up and there is more.
    pub fn flush(connection: *Connection) bool {
        if (connection.blocked) return true;
        for (0..writes_per_turn) |_| {
            var bulk: Bulk = .{};
            connection.fill(&bulk);
            if (connection.dead) return true;
            const total = connection.out.len() + bulk.bytes();
            if (total == 0) {
                connection.listenOrNot();
                return true;
            }
            const written = bulk.write(connection.output.fd, connection.out.bytes()) catch {
                if (sys.last != .AGAIN) {
                    connection.fail();
                    return true;
                }
                bulk.taken(connection, 0);
                connection.block();
                return true;
            };
            const from_out = @min(written, connection.out.len());
            connection.out.consume(from_out);
            bulk.taken(connection, written - from_out);
            if (connection.out.failed) connection.fail();
            if (written < total) {
                connection.block();
                return true;
            }
        }
        return false;
    }

    /// Pump the ready streams in turn until this write is large enough.
    fn fill(connection: *Connection, bulk: *Bulk) void {
        connection.agent.bulk = bulk;
        while (connection.out.len() < enough_out and !bulk.full()) {
            const node = connection.ready.popFirst() orelse break;
            const stream: *Stream = @fieldParentPtr("node", node);
            stream.ready = false;
            switch (stream.pump()) {
                .idle, .done => {},
                .more => connection.schedule(stream),
                // Bulk goes out behind everything in `out`: its stream must not append before that has happened.
                .bulk => {},
            }
        }
        if (connection.out.failed) connection.fail();
    }
};
