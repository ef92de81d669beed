#include "common/archive/wal_push.hpp"

#include "common/archive/chain.hpp"
#include "common/archive/layout.hpp"
#include "common/archive/system_guard.hpp"
#include "common/archive/wal_source.hpp"
#include "common/archive/wal_stored.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <random>

namespace walgd::archive {

namespace {

/// As much as zstd takes for a frame: then nothing is copied between reading and compressing.
constexpr std::size_t read_bytes = 1 << 20;
/// Larger files go out in pieces, so that memory does not grow with the segment size.
constexpr std::uint64_t whole_bytes_max = 32 << 20;
constexpr std::size_t piece_bytes = 8 << 20;

/// Worst case of a packed file: incompressible, with every codec's and cipher's framing.
std::uint64_t packed_bytes_max(std::uint64_t plain_bytes) { return plain_bytes + plain_bytes / 64 + (256 << 10); }

/// The file packed in memory: what a retry sends again.
Blob pack_whole(const WalSource& source, const Packing& packing) {
    codec::BlobSink end(static_cast<std::size_t>(source.bytes() / 4) + (64 << 10));
    PackChain chain(packing, codec::Content::wal, end);
    Blob chunk(read_bytes);
    for (std::uint64_t offset = 0; offset < source.bytes();) {
        const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(read_bytes, source.bytes() - offset));
        const auto count = source.read({chunk.data(), wanted}, offset);
        if (count < wanted) break; // check_unchanged() tells why
        chain.head().write({chunk.data(), count});
        offset += count;
    }
    chain.head().finish();
    source.check_unchanged();
    return end.take();
}

/// Packs a large file step by step: take() is called until it gives nothing.
class PieceMaker {
public:
    PieceMaker(const WalSource& source, const Packing& packing) : source_(source), chain_(packing, codec::Content::wal, *end_) {}

    /// The next piece, at least 5 MiB but for the last; nothing after it.
    std::optional<Blob> take() {
        Blob chunk(read_bytes);
        while (!finished_ && end_->pending.size() < piece_bytes) {
            const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(read_bytes, source_.bytes() - offset_));
            const auto count = source_.read({chunk.data(), wanted}, offset_);
            chain_.head().write({chunk.data(), count});
            offset_ += count;
            if (count == wanted && offset_ < source_.bytes()) continue;
            chain_.head().finish();
            source_.check_unchanged();
            finished_ = true;
        }
        if (end_->pending.empty()) return std::nullopt;
        return std::exchange(end_->pending, Blob(piece_bytes + (1 << 20)));
    }

private:
    struct End : codec::Sink {
        void write(ByteView bytes) override { pending.append(bytes); }
        void finish() override {}
        Blob pending{piece_bytes + (1 << 20)};
    };
    const WalSource& source_;
    std::unique_ptr<End> end_ = std::make_unique<End>();
    PackChain chain_;
    std::uint64_t offset_ = 0;
    bool finished_ = false;
};

/// Waits for memory without holding up the I/O thread.
awaitable<MemoryBudget::Lease> lease_of(MemoryBudget& budget, std::uint64_t bytes) {
    if (bytes > budget.total()) budget.acquire(bytes); // throws, saying so
    const MemoryBudget::First first(budget);
    for (auto delay = std::chrono::milliseconds(1);; delay = std::min(2 * delay, std::chrono::milliseconds(50))) {
        auto lease = budget.try_acquire(bytes);
        if (lease) co_return std::move(*lease);
        co_await sleep_for(delay);
    }
}

} // namespace

struct WalPusher::Parts {
    explicit Parts(Archive& archive) : guard(archive), stored(archive) {}
    SystemGuard guard;
    StoredWal stored;
};

WalPusher::WalPusher(Archive& archive, WalPushOptions options)
    : archive_(archive), options_(options), parts_(std::make_unique<Parts>(archive)) {}
WalPusher::~WalPusher() = default;

awaitable<void> WalPusher::warm_up() {
    std::exception_ptr failure;
    try {
        co_await parts_->guard.warm_up();
        co_await parts_->stored.warm_up();
        co_return;
    } catch (...) {
        failure = std::current_exception();
    }
    const auto error = as_error(failure);
    if (error.kind() == ErrorKind::cancelled) throw error;
    archive_.log.warn("event=warm_up_failed error=\"{}\" hint=\"{}\"", error.what(), error.hint());
}

namespace {

awaitable<storage::PutOutcome> put_whole(Archive& archive, const WalSource& source, storage::ObjectKey key,
                                         storage::PutOptions options, WalPushed& result) {
    const auto lease = co_await lease_of(archive.budget, packed_bytes_max(source.bytes()));
    auto work = [&source, &archive] { return pack_whole(source, archive.packing); };
    const auto packed = co_await run_on(archive.cpu, std::move(work));
    result.stored_bytes = packed.size();
    const auto outcome = co_await archive.storage.put(key, packed.view(), options);
    co_return outcome;
}

awaitable<storage::PutOutcome> put_in_pieces(Archive& archive, const WalSource& source, storage::ObjectKey key,
                                             storage::PutOptions options, WalPushed& result) {
    const auto lease = co_await lease_of(archive.budget, 3 * piece_bytes);
    const auto upload = co_await archive.storage.start_upload(key, options);
    PieceMaker maker(source, archive.packing);
    std::exception_ptr failure;
    try {
        std::uint64_t offset = 0;
        for (int number = 1;; ++number) {
            auto work = [&maker] { return maker.take(); };
            const auto piece = co_await run_on(archive.cpu, std::move(work));
            if (!piece) break;
            co_await upload->put_piece(number, offset, piece->view());
            offset += piece->size();
        }
        result.stored_bytes = offset;
        const auto outcome = co_await upload->complete();
        co_return outcome;
    } catch (...) {
        failure = std::current_exception();
    }
    try {
        co_await upload->abort();
    } catch (const Error& error) {
        archive.log.warn("event=upload_not_aborted key={} error=\"{}\"", key.path(), error.what());
    }
    std::rethrow_exception(failure);
}

} // namespace

awaitable<WalPushed> WalPusher::push(std::string name, UniqueFd fd) {
    const auto kind = pg::wal_file_kind(name);
    if (!kind && !options_.any_name)
        throw Error(ErrorKind::refused, fmt::format("'{}' is not the name of a WAL file of PostgreSQL", name),
                    "archive_command passes %p: a segment, .partial, .history or .backup file");
    const WalSource source(name, std::move(fd));
    std::exception_ptr failure;
    try {
        auto pushed = co_await push_source(source, kind);
        co_return pushed;
    } catch (...) {
        failure = std::current_exception();
    }
    const auto error = as_error(failure);
    if (std::string_view(error.what()).find(name) != std::string_view::npos) throw error;
    throw error.within(fmt::format("{} was not stored", name));
}

awaitable<WalPushed> WalPusher::push_source(const WalSource& source, std::optional<pg::WalFileKind> kind) {
    const auto& name = source.name();
    if (options_.check_header && kind) {
        const auto header = source.check_header();
        if (header) {
            co_await parts_->guard.check(header->system, name);
        }
    }
    WalPushed result;
    result.plain_bytes = source.bytes();
    // A history file is never replaced, whatever the settings.
    const bool may_replace = options_.overwrite && kind != pg::WalFileKind::history;
    const auto key = wal_key(name, archive_.packing.compression->suffix());
    if (!may_replace) {
        const auto there = co_await parts_->stored.find_before_put(name, options_.conditional_put == ConditionalPut::look_first);
        if (there) {
            co_await parts_->stored.check_same(source, *there);
            result.already_there = true;
            co_return result;
        }
    }
    storage::PutOptions put{.if_absent = !may_replace, .metadata = {}};
    if (archive_.packing.cipher != nullptr && !archive_.packing.cipher->can_decrypt()) {
        // What is stored cannot be read back for a comparison: its hash stands in.
        auto work = [&source] { return source.sha256(); };
        put.metadata[std::string(plain_sha256)] = co_await run_on(archive_.cpu, std::move(work));
    }
    storage::PutOutcome outcome;
    if (source.bytes() <= whole_bytes_max)
        outcome = co_await put_whole(archive_, source, key, put, result);
    else
        outcome = co_await put_in_pieces(archive_, source, key, put, result);
    if (outcome == storage::PutOutcome::exists) {
        const StoredObject there{key, archive_.packing.compression};
        co_await parts_->stored.check_same(source, there);
        result.already_there = true;
    }
    co_return result;
}

awaitable<ConditionalPut> probe_conditional_put(Archive& archive) {
    std::random_device dice;
    const storage::ObjectKey key(fmt::format("{}check/{:08x}{:08x}", own_folder, dice(), dice()));
    const storage::PutOptions exclusive{.if_absent = true, .metadata = {}};
    const std::string first = "first", second = "second";
    co_await archive.storage.put(key, bytes_of(first), exclusive);
    const auto outcome = co_await archive.storage.put(key, bytes_of(second), exclusive);
    std::vector<storage::ObjectKey> used{key};
    const auto failures = co_await archive.storage.remove(std::move(used));
    if (!failures.empty())
        archive.log.warn("event=probe_not_removed key={} error=\"{}\"", key.path(), failures.front().error.what());
    co_return outcome == storage::PutOutcome::exists ? ConditionalPut::works : ConditionalPut::look_first;
}

} // namespace walgd::archive
