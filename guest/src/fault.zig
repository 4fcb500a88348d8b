//! Why a request fails: what an `ERROR` frame says. The details of the fault on its way up lie in `current`, as errno
//! does: the agent has one thread and a fault is answered before the next one.

const sys = @import("sys.zig");

/// The protocol's error codes, by their names on the wire.
pub const Code = enum {
    invalid_argument,
    not_found,
    already_exists,
    permission_denied,
    not_a_directory,
    is_a_directory,
    directory_not_empty,
    no_space,
    resource_exhausted,
    command_not_found,
    command_not_executable,
    argument_too_long,
    no_such_user,
    no_such_directory,
    failed_precondition,
    unavailable,
    unsupported,
    internal,
};

pub const Fault = error{ System, Refused, OutOfMemory };

pub const Details = struct {
    code: Code,
    message: []const u8,
    errno: u16 = 0,
};

var current: Details = undefined;

/// Refuse with a code and a constant text.
pub fn refuse(code: Code, message: []const u8) error{Refused} {
    current = .{ .code = code, .message = message };
    return error.Refused;
}

/// Refuse because of an errno, under a code that the errno alone does not tell.
pub fn refuseErrno(code: Code, message: []const u8, errno: sys.E) error{Refused} {
    current = .{ .code = code, .message = message, .errno = @backingInt(errno) };
    return error.Refused;
}

pub fn details(fault: Fault) Details {
    return switch (fault) {
        error.Refused => current,
        error.OutOfMemory => .{ .code = .resource_exhausted, .message = "the agent is out of memory" },
        error.System => .{ .code = codeOf(sys.last), .message = text(sys.last), .errno = @backingInt(sys.last) },
    };
}

fn codeOf(errno: sys.E) Code {
    return switch (errno) {
        .NOENT => .not_found,
        .EXIST => .already_exists,
        .ACCES, .PERM, .ROFS => .permission_denied,
        .NOTDIR => .not_a_directory,
        .ISDIR => .is_a_directory,
        .NOTEMPTY => .directory_not_empty,
        .NOSPC, .DQUOT => .no_space,
        .MFILE, .NFILE, .NOMEM, .AGAIN, .NOBUFS, .FBIG, .MLINK => .resource_exhausted,
        .INVAL, .NAMETOOLONG, .LOOP, .SPIPE => .invalid_argument,
        .CONNREFUSED, .HOSTUNREACH, .NETUNREACH, .TIMEDOUT, .CONNRESET => .unavailable,
        .NOSYS, .OPNOTSUPP, .XDEV, .NOTTY, .AFNOSUPPORT, .NXIO, .NODEV => .unsupported,
        else => .internal,
    };
}

fn text(errno: sys.E) []const u8 {
    return switch (errno) {
        .NOENT => "no such file or directory",
        .EXIST => "it exists already",
        .ACCES => "permission denied",
        .PERM => "operation not permitted",
        .ROFS => "the file system is read-only",
        .NOTDIR => "not a directory",
        .ISDIR => "is a directory",
        .NOTEMPTY => "the directory is not empty",
        .NOSPC => "no space left on the device",
        .DQUOT => "the disk quota is used up",
        .MFILE, .NFILE => "too many open files",
        .NOMEM => "out of memory",
        .AGAIN => "out of resources for now",
        .INVAL => "invalid argument",
        .NAMETOOLONG => "a file name is too long",
        .LOOP => "too many symbolic links, or one where none may be",
        .XDEV => "source and destination are on different file systems",
        .BUSY => "the file is in use",
        .TXTBSY => "the program is running",
        .FBIG => "the file is too large",
        .IO => "input or output error",
        .CONNREFUSED => "nothing listens there",
        .HOSTUNREACH, .NETUNREACH => "no route to that address",
        .TIMEDOUT => "the connection timed out",
        .NOSYS, .OPNOTSUPP => "the kernel does not support this",
        else => "a system call failed",
    };
}
