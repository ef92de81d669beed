#pragma once
#include "common/base/bytes.hpp"
#include "common/base/handles.hpp"

#include <cstdint>
#include <string>
#include <sys/types.h>

/// Thin calls over POSIX files; every failure is an Error(failed) that names the path.
namespace walgd {

/// open(2) with O_CLOEXEC.
UniqueFd open_file(const std::string& path, int flags, mode_t mode = 0600);
/// An empty file without a name, in the folder for temporary files: $TMPDIR, else /tmp. It is gone when it is closed.
UniqueFd unnamed_file();
/// The same in a folder of choice.
UniqueFd unnamed_file_in(const std::string& folder);
/// Bytes read, fewer than asked only at the end of the file.
std::size_t read_some(int fd, MutableBytes into, const std::string& path);
/// The same from `offset` on; the descriptor's own place does not move.
std::size_t read_at(int fd, MutableBytes into, std::uint64_t offset, const std::string& path);
/// All of it, whatever a single write takes.
void write_all(int fd, ByteView bytes, const std::string& path);
/// The same from `offset` on; the descriptor's own place does not move.
void write_all_at(int fd, ByteView bytes, std::uint64_t offset, const std::string& path);
/// Makes the content durable; the name becomes so by sync_folder().
void sync_file(int fd, const std::string& path);
/// Makes a created, renamed or removed name inside `folder` durable.
void sync_folder(const std::string& folder);
/// The whole of a small file (a key, a token, a configuration); refuses more than `bytes_max`.
std::string read_text_file(const std::string& path, std::size_t bytes_max = 16 << 20);
/// A file with a key: at most 1 MiB. Nothing of it stays in memory but what is returned.
std::string read_secret_file(const std::string& path);
/// Durable and atomic: written under a temporary name beside `path`, fsynced, renamed, folder fsynced. Replaces what was there.
void write_file_atomically(const std::string& path, ByteView bytes, mode_t mode);
/// Removes the temporary files of calls for `path` that were killed; only where no other process may be writing it.
void remove_unfinished_writes(const std::string& path);

/// The longest beginning of `path` that is there: itself, a folder above it, at last "/", or "." of a relative path.
std::string existing_part(const std::string& path);

} // namespace walgd
