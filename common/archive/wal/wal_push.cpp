#include "common/archive/wal/wal_push.hpp"

#include "common/archive/chain.hpp"
#include "common/archive/layout.hpp"
#include "common/archive/wal/system_guard.hpp"
#include "common/archive/wal/wal_pack.hpp"
#include "common/archive/wal/wal_source.hpp"
#include "common/archive/wal/wal_stored.hpp"
#include "common/base/in_quotes.hpp"
#include "common/base/slots.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <random>

namespace walgd::archive {

struct WalPusher::Parts {
    Parts(Archive& archive, unsigned puts_at_once)
        : guard(archive), stored(archive), packer(archive), puts(archive.io, puts_at_once) {}
    SystemGuard guard;
    StoredWal stored;
    WalPacker packer;
    Slots puts;
};

WalPusher::WalPusher(Archive& archive, WalPushOptions options, unsigned puts_at_once)
    : archive_(archive), options_(options), parts_(std::make_unique<Parts>(archive, puts_at_once)) {}
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
    archive_.log.warn("event=warm_up_failed error={} hint={}", in_quotes(error.what()), in_quotes(error.hint()));
}

void WalPusher::seen(const std::set<const codec::Compression*>& methods) { parts_->stored.seen(methods); }

namespace {

/// How long the way out may take.
constexpr std::chrono::seconds abort_limit{5};

/// What is stored cannot be read back for a comparison: its hash must stand in.
bool write_only(const Archive& archive) { return archive.packing.cipher != nullptr && !archive.packing.cipher->can_decrypt(); }

/// Removes the pieces of an upload that failed.
awaitable<void> give_up(Archive& archive, storage::Upload& upload, storage::ObjectKey key) {
    std::exception_ptr failure;
    try {
        co_await within(abort_limit, upload.abort(), "no answer");
        co_return;
    } catch (...) {
        failure = std::current_exception();
    }
    archive.log.warn("event=upload_not_aborted key={} error={}", key.path(), in_quotes(describe(failure)));
}

awaitable<storage::PutOutcome> put_in_pieces(Archive& archive, const WalSource& source, storage::ObjectKey key,
                                             storage::PutOptions options, WalPushed& result) {
    const auto lease = co_await lease_of(archive.budget, WalPieces::memory_bytes);
    if (write_only(archive)) {
        auto work = [&source] { return source.sha256(); };
        options.metadata[std::string(plain_sha256)] = co_await run_on(archive.cpu, std::move(work));
    }
    const auto upload = co_await archive.storage.start_upload(key, options);
    WalPieces pieces(source, archive.packing);
    std::exception_ptr failure;
    try {
        std::uint64_t offset = 0;
        for (int number = 1;; ++number) {
            auto work = [&pieces] { return pieces.take(); };
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
    // A push that is cancelled would throw at every wait, at this one too, until it is told not to.
    const bool throws = co_await asio::this_coro::throw_if_cancelled();
    co_await asio::this_coro::throw_if_cancelled(false);
    co_await give_up(archive, *upload, key);
    co_await asio::this_coro::throw_if_cancelled(throws);
    const auto error = as_error(failure);
    // Of the upload, which somebody aborted, not of the file: it may be tried again.
    if (error.kind() == ErrorKind::refused) throw Error(ErrorKind::failed, error.what(), error.hint());
    std::rethrow_exception(failure);
}

} // namespace

awaitable<storage::PutOutcome> WalPusher::put_whole(const WalSource& source, storage::ObjectKey key, storage::PutOptions options,
                                                    WalPushed& result) {
    const auto began = std::chrono::steady_clock::now();
    auto packed = co_await parts_->packer.pack(source, options_.level.value_or(archive_.packing.level), write_only(archive_));
    result.packing = std::chrono::steady_clock::now() - began;
    if (!packed.plain_sha256.empty()) options.metadata[std::string(plain_sha256)] = packed.plain_sha256;
    result.stored_bytes = packed.bytes.size();
    const auto turn = co_await parts_->puts.take();
    const auto put_began = std::chrono::steady_clock::now();
    const auto outcome = co_await archive_.storage.put(key, packed.bytes.view(), options);
    result.putting = std::chrono::steady_clock::now() - put_began;
    parts_->packer.recycle(std::move(packed.bytes));
    co_return outcome;
}

void WalPusher::rest_if_quiet() {
    const auto packed = parts_->packer.packed();
    if (packed == packed_seen_) parts_->packer.rest();
    packed_seen_ = packed;
}

awaitable<WalPushed> WalPusher::push(std::string name, UniqueFd fd, WalObserver* observer) {
    const auto kind = pg::wal_file_kind(name);
    if (!kind && !options_.any_name)
        throw Error(ErrorKind::refused, fmt::format("'{}' is not the name of a WAL file of PostgreSQL", name),
                    "archive_command passes %p: a segment, .partial, .history or .backup file");
    const WalSource source(name, std::move(fd), observer);
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

namespace {

/// Of what is no WAL, as wal-g: whatever is beside it.
std::optional<pg::SystemIdentifier> cluster_of(const WalSource& source, bool must_be_wal) {
    try {
        const auto header = source.check_header();
        return header ? header->system : source.cluster_around();
    } catch (const Error& error) {
        if (must_be_wal || error.kind() != ErrorKind::corrupt) throw;
        return std::nullopt;
    }
}

/// As wal-g, which shows no hints: who may only write archives, as with WAL-G. Another cluster's is no overwrite attempt.
awaitable<void> check_as_walg(SystemGuard& guard, pg::SystemIdentifier system, std::string name) {
    try {
        co_await guard.check(system, name);
    } catch (const Error& error) {
        if (error.kind() == ErrorKind::refused)
            throw Error(ErrorKind::misconfigured, fmt::format("{}; {}", error.what(), error.hint()));
        if (error.kind() != ErrorKind::denied) throw;
    }
}

} // namespace

awaitable<WalPushed> WalPusher::push_source(const WalSource& source, std::optional<pg::WalFileKind> kind) {
    const auto& name = source.name();
    std::optional<pg::SystemIdentifier> system;
    if (kind) system = cluster_of(source, options_.check_header);
    if (system && options_.check_header) {
        co_await parts_->guard.check(*system, name);
    } else if (system) {
        co_await check_as_walg(parts_->guard, *system, name);
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
    const storage::PutOptions put{.if_absent = !may_replace, .metadata = {}};
    storage::PutOutcome outcome;
    if (source.bytes() <= WalPacker::whole_bytes_max) {
        outcome = co_await put_whole(source, key, put, result);
    } else {
        const auto turn = co_await parts_->puts.take();
        outcome = co_await put_in_pieces(archive_, source, key, put, result);
    }
    if (outcome == storage::PutOutcome::exists) {
        const StoredObject there{key, archive_.packing.compression};
        co_await parts_->stored.check_same(source, there);
        result.already_there = true;
    }
    co_return result;
}

namespace {

/// Whoever put one looks at it for moments.
constexpr std::chrono::hours probe_age_max{1};

std::string probe_folder() { return fmt::format("{}check/", own_folder); }

bool is_probe(std::string_view name) {
    return name.size() == 16 && name.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

} // namespace

storage::ObjectKey probe_key() {
    std::random_device dice;
    return storage::ObjectKey(fmt::format("{}{:08x}{:08x}", probe_folder(), dice(), dice()));
}

awaitable<void> remove_old_probes(Archive& archive) {
    const auto folder = probe_folder();
    const auto oldest = std::chrono::system_clock::now() - probe_age_max;
    std::exception_ptr failure;
    try {
        const auto page = co_await archive.storage.list(folder, {});
        std::vector<storage::ObjectKey> old;
        for (const auto& object : page.objects) {
            if (object.modified < oldest && is_probe(object.key.path().substr(folder.size()))) old.push_back(object.key);
        }
        if (old.empty()) co_return;
        const auto count = old.size();
        const auto failures = co_await archive.storage.remove(std::move(old));
        archive.log.info("event=old_probes_removed objects={} failed={}", count - failures.size(), failures.size());
        co_return;
    } catch (...) {
        failure = std::current_exception();
    }
    const auto error = as_error(failure);
    if (error.kind() == ErrorKind::cancelled) throw error;
    archive.log.debug("event=old_probes_not_removed error={}", in_quotes(error.what()));
}

awaitable<ConditionalPut> probe_conditional_put(Archive& archive) {
    const auto key = probe_key();
    const storage::PutOptions exclusive{.if_absent = true, .metadata = {}};
    const std::string first = "first", second = "second";
    co_await archive.storage.put(key, bytes_of(first), exclusive);
    const auto outcome = co_await archive.storage.put(key, bytes_of(second), exclusive);
    std::vector<storage::ObjectKey> used{key};
    // Who may only write, or a server that does not know this request, has answered all the same.
    std::optional<Error> left;
    try {
        const auto failures = co_await archive.storage.remove(std::move(used));
        if (!failures.empty()) left = failures.front().error;
    } catch (const Error& error) {
        left = error;
    }
    if (left && left->kind() == ErrorKind::cancelled) throw *left;
    if (left) archive.log.warn("event=probe_not_removed key={} error={}", key.path(), in_quotes(left->what()));
    co_return outcome == storage::PutOutcome::exists ? ConditionalPut::works : ConditionalPut::look_first;
}

} // namespace walgd::archive
