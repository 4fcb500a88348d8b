//! Pseudo-terminals.

const sys = @import("sys.zig");
const linux = sys.linux;

pub const Size = struct { rows: u16, cols: u16 };

pub const Terminal = struct { master: i32, slave: i32 };

const TIOCGPTPEER = 0x5441;

/// The master does not block.
pub fn open(size: Size, owner: ?u32) sys.Error!Terminal {
    const flags: linux.O = .{ .ACCMODE = .RDWR, .NOCTTY = true, .NONBLOCK = true };
    const master = sys.open("/dev/ptmx", flags, 0) catch try sys.open("/dev/pts/ptmx", flags, 0);
    errdefer sys.close(master);
    var unlock: i32 = 0;
    _ = try sys.check(linux.ioctl(master, linux.T.IOCSPTLCK, @intFromPtr(&unlock)));
    const slave = try openSlave(master);
    errdefer sys.close(slave);
    try resize(master, size);
    if (owner) |uid| {
        // So that the user can open its own terminal by name; without the right to do so it works all the same.
        _ = linux.fchown(slave, uid, @bitCast(@as(i32, -1)));
        _ = linux.fchmod(slave, 0o620);
    }
    return .{ .master = master, .slave = slave };
}

fn openSlave(master: i32) sys.Error!i32 {
    const flags: linux.O = .{ .ACCMODE = .RDWR, .NOCTTY = true, .CLOEXEC = true };
    // Needs no file system mounted; kernels before 4.13 do not have it.
    if (sys.checkFd(linux.ioctl(master, TIOCGPTPEER, @as(u32, @bitCast(flags))))) |slave| return slave else |_| {}
    var number: u32 = 0;
    _ = try sys.check(linux.ioctl(master, linux.T.IOCGPTN, @intFromPtr(&number)));
    var path: [24]u8 = undefined;
    const name = @import("std").fmt.bufPrintSentinel(&path, "/dev/pts/{d}", .{number}, 0) catch unreachable;
    return sys.open(name, flags, 0);
}

pub fn resize(master: i32, size: Size) sys.Error!void {
    const window: @import("std").posix.winsize = .{ .row = size.rows, .col = size.cols, .xpixel = 0, .ypixel = 0 };
    _ = try sys.check(linux.ioctl(master, linux.T.IOCSWINSZ, @intFromPtr(&window)));
}
