//! The operation `metrics`: what the VM uses.

const std = @import("std");
const fault = @import("fault.zig");
const procfs = @import("procfs.zig");
const sys = @import("sys.zig");
const linux = sys.linux;
const Request = @import("request.zig").Request;
const Stream = @import("stream.zig").Stream;

/// As the 64-bit kernels have it.
const FileSystem = extern struct {
    type: i64,
    block_size: i64,
    blocks: u64,
    free: u64,
    available: u64,
    files: u64,
    files_free: u64,
    id: [2]i32,
    name_length: i64,
    fragment_size: i64,
    flags: i64,
    spare: [4]i64,
};

pub fn metrics(stream: *Stream, request: *const Request) fault.Fault!void {
    const agent = stream.connection.agent;
    var count: usize = 0;
    var cpu: u64 = 0;
    var memory: u64 = 0;
    // Without /proc the agent sees nothing but itself and its own.
    if (procfs.processes(request.arena)) |entries| seen: {
        if (entries.len == 0) break :seen;
        count = entries.len;
        for (entries) |entry| {
            cpu +|= entry.cpu_ns;
            memory +|= entry.memory_bytes;
        }
    } else |_| {}
    if (count == 0) count = agent.processes.running + 1;
    var disk = std.mem.zeroes(FileSystem);
    _ = linux.syscall2(.statfs, @intFromPtr("."), @intFromPtr(&disk));
    const block: u64 = @intCast(@max(0, disk.block_size));
    var object = stream.begin(.reply);
    object.int("processes", count);
    object.int("cpu_ns", cpu);
    object.int("memory_bytes", memory);
    object.int("disk_total_bytes", disk.blocks *| block);
    object.int("disk_free_bytes", disk.available *| block);
    object.int("uptime_ns", sys.monotonic() -| agent.started);
    object.int("execs_running", agent.processes.running);
    object.int("connections", agent.connection_count);
    stream.finish(&object);
}
