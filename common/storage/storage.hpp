#pragma once
#include "common/base/async.hpp"
#include "common/base/bytes.hpp"

#include <chrono>
#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace walgd::storage {

/// Where an object is, relative to the storage's prefix: "wal_005/000000010000000000000001.zst". No leading slash, no "." or
/// "..".
class ObjectKey {
public:
    explicit ObjectKey(std::string path) : path_(std::move(path)) {}
    const std::string& path() const { return path_; }
    friend auto operator<=>(const ObjectKey&, const ObjectKey&) = default;

private:
    std::string path_;
};

using Modified = std::chrono::sys_time<std::chrono::nanoseconds>;

/// What a storage says of an object without sending its content.
struct ObjectInfo {
    ObjectKey key{""};
    std::uint64_t bytes = 0;
    Modified modified{};
    std::string etag; ///< of the storage, as it spells it; changes whenever the content does. Empty: the storage has none
    std::map<std::string, std::string> metadata; ///< ours, lower-case names; filled by head() and get(), not by list()
};

/// How an object is stored.
struct PutOptions {
    bool if_absent = false; ///< store only if there is no such object; else PutOutcome::exists and nothing changed
    std::map<std::string, std::string>
        metadata; ///< kept with the object where the storage can; names are lower-case words with dashes
};

/// `exists`: under if_absent there was such an object, and nothing was changed.
enum class PutOutcome { stored, exists };

/// A certificate that a server showed, or credentials in use, and when they end.
struct Expiry {
    enum class Of { certificate, credentials } of;
    std::string name; ///< "host:port" of the server; where the credentials are from
    std::chrono::system_clock::time_point at;
};

/// A part of an object, in bytes.
struct ByteRange {
    std::uint64_t offset = 0;
    std::optional<std::uint64_t> length; ///< nothing: to the end
};

/// A good size for the buffer that an object's content is read into piece by piece.
inline constexpr std::size_t read_chunk_bytes = 256 << 10;

/// An object being read. One read() at a time.
class ObjectReader {
public:
    virtual ~ObjectReader() = default;
    virtual const ObjectInfo& info() const = 0;
    /// Fills `into` from the front; fewer bytes than its size only at the end, 0 when there are no more. A body that ends early,
    /// or whose checksum is not the announced one, throws: never a silent short read. `into` must live until the await returns.
    virtual awaitable<std::size_t> read(MutableBytes into) = 0;
    /// `broken` read the same object from its beginning to where this reader begins, and then failed: its checksum goes on here,
    /// so that what was read in pieces is proved as a whole. For readers of one storage; those without a checksum do nothing.
    virtual void take_over(ObjectReader&) {}
};

/// Of one object, as S3 has it.
constexpr int pieces_max = 10'000;

/// An object being written in pieces (S3's multipart upload). Nothing is visible under the key before complete().
/// Destroyed without complete(): what is stored so far is a leftover; call abort() where one can await.
class Upload {
public:
    virtual ~Upload() = default;
    /// Piece `number` counts from 1; `offset` is the piece's place in the object. Several may be under way at once. All pieces
    /// but the last have at least 5 MiB. `bytes` must live until the await returns.
    virtual awaitable<void> put_piece(int number, std::uint64_t offset, ByteView bytes) = 0;
    /// Makes the object of all pieces visible, durably. `exists` only if the upload was started with if_absent; the pieces are
    /// gone then.
    virtual awaitable<PutOutcome> complete() = 0;
    virtual awaitable<void> abort() = 0;
};

/// What of a folder is listed.
struct ListOptions {
    bool recursive = false;           ///< false: objects directly in the folder, and the names of its sub-folders
    std::optional<std::string> token; ///< next of the page before
    std::string name_prefix;          ///< only what begins so, counted from the folder: "000000010000" in "wal_005/"
    std::string after; ///< only what follows this name in the order of bytes, counted from the folder; not recursive
};

/// As much of a listing as one answer has.
struct ListPage {
    std::vector<ObjectInfo> objects;
    std::vector<std::string> folders; ///< names relative to the prefix, with a trailing slash; only when not recursive
    std::optional<std::string> next;  ///< more to come: ask again with this token
};

/// An object that was not removed, and why.
struct RemoveFailure {
    ObjectKey key;
    Error error;
};

/// `unable`: the storage cannot copy this one by itself; whoever wants the copy reads and puts.
enum class CopyOutcome { copied, absent, unable };

/// What a storage keeps of objects that were removed.
struct RemovedObjects {
    bool versions_stay = false; ///< removing only hides: the bytes stay, and are paid for, until something else removes them
    std::string lock;           ///< "COMPLIANCE for 30 days": how new objects are locked; empty: not, as far as the storage tells
};

/// Where objects are kept. All calls come from, and resume on, the I/O thread. Keys are relative to the configured prefix.
/// "There is no such object" is an answer (nothing, nullptr, exists); "the storage did not answer" is always an Error:
/// transient (no answer, asked to wait), denied (credentials, permissions), misconfigured (no such bucket, region), corrupt
/// (checksum). Messages carry bucket or folder, key, code, message and request id.
class Storage {
public:
    virtual ~Storage() = default;
    /// For messages: "s3://bucket/path" or "/var/backups/pg".
    virtual std::string describe() const = 0;

    /// Stores all of `body` under `key`, durably; returns only after the storage confirmed it. Without if_absent it replaces.
    /// `body` must live until the await returns.
    virtual awaitable<PutOutcome> put(ObjectKey key, ByteView body, PutOptions options) = 0;
    virtual awaitable<std::unique_ptr<Upload>> start_upload(ObjectKey key, PutOptions options) = 0;
    /// Makes `to` what `from` is, content and metadata, durably, and replaces what was there; the bytes do not come here. The
    /// size is for the caller to compare. `absent`: there is no `from`; nothing was changed then, nor with `unable`.
    virtual awaitable<CopyOutcome> copy(ObjectKey /*from*/, ObjectKey /*to*/) { co_return CopyOutcome::unable; }
    /// Nothing: the storage says that there is no such object.
    virtual awaitable<std::optional<ObjectInfo>> head(ObjectKey key) = 0;
    /// nullptr: the storage says that there is no such object. A range past the end is an Error(corrupt).
    virtual awaitable<std::unique_ptr<ObjectReader>> get(ObjectKey key, ByteRange range) = 0;
    /// One page of what is in `folder` ("" or "wal_005/"), sorted by key. A folder that does not exist is empty.
    virtual awaitable<ListPage> list(std::string folder, ListOptions options) = 0;
    /// Removes the objects; absent ones count as removed. What could not be removed comes back, each with its own error.
    virtual awaitable<std::vector<RemoveFailure>> remove(std::vector<ObjectKey> keys) = 0;
    /// Pieces of uploads that were never completed, under `folder`, older than `age`: aborts them and says how many.
    virtual awaitable<std::size_t> remove_stale_uploads(std::string folder, std::chrono::seconds age) = 0;
    /// What it is reached by and what ends: as far as is known by now, nobody is asked.
    virtual std::vector<Expiry> expiries() const { return {}; }
    /// What becomes of removed objects here: they are gone, unless a backend knows better.
    virtual awaitable<RemovedObjects> removed_objects() { co_return RemovedObjects{}; }

    /// Of several storages behind one: only those that answer. "No such object" then means "in none of them", so this is for what
    /// may be written once more, and for what people are told with a warning. Itself, where it is one storage.
    virtual Storage& answering() { return *this; }
    /// Of several storages: the one that new objects go to now. Itself, where it is one.
    virtual awaitable<Storage*> home() { co_return this; }
    /// Of several storages: each by itself, where the same object may be as a copy of its own. Itself, where it is one.
    virtual std::vector<Storage*> each() { return {this}; }
};

/// All pages of a listing, for folders of bounded size.
awaitable<ListPage> list_all(Storage& storage, std::string folder, bool recursive);
/// The whole object in memory; nothing if absent. Error(corrupt) when it has more than `bytes_max`.
awaitable<std::optional<Blob>> get_whole(Storage& storage, ObjectKey key, std::uint64_t bytes_max);

} // namespace walgd::storage
