#include "common/archive/wal/wal_stored.hpp"

#include "common/archive/chain.hpp"
#include "common/archive/layout.hpp"
#include "common/archive/read_through.hpp"
#include "common/base/time_text.hpp"

#include <algorithm>
#include <cstring>
#include <fmt/format.h>
#include <set>

namespace walgd::archive {

namespace {

constexpr std::size_t compared_bytes = 256 << 10;

/// Ends an unpacking chain by comparing with the local file.
class Comparison : public codec::Sink {
public:
    explicit Comparison(const WalSource& source) : source_(source), buffer_(compared_bytes) {}
    void write(ByteView bytes) override {
        while (!bytes.empty() && !difference_) {
            const auto part = bytes.first(std::min(bytes.size(), compared_bytes));
            const auto count = source_.read({buffer_.data(), part.size()}, offset_);
            if (count != part.size() || std::memcmp(buffer_.data(), part.data(), count) != 0) difference_ = offset_;
            offset_ += part.size();
            bytes = bytes.subspan(part.size());
        }
    }
    void finish() override {
        if (!difference_ && offset_ != source_.bytes()) difference_ = offset_;
    }
    /// Where about the first difference is.
    std::optional<std::uint64_t> difference() const { return difference_; }

private:
    const WalSource& source_;
    Blob buffer_;
    std::uint64_t offset_ = 0;
    std::optional<std::uint64_t> difference_;
};

/// All but the one that this archive is written with.
std::vector<const codec::Compression*> other_methods(const Archive& archive) {
    std::vector<const codec::Compression*> methods;
    for (const auto* method : codec::compressions()) {
        if (method != archive.packing.compression) methods.push_back(method);
    }
    return methods;
}

[[noreturn]] void refuse(const std::string& name, const std::string& storage, const storage::ObjectInfo& there,
                         const std::string& how) {
    throw Error(ErrorKind::refused,
                fmt::format("{} is in {} already as {} ({} bytes, {}) with other content: {}", name, storage, there.key.path(),
                            there.bytes, format_time(there.modified), how),
                "nothing was changed. Does another cluster, or a restored copy of this one, archive into the same prefix? Give "
                "each cluster a prefix of its own");
}

/// What the storage does not hand out, of an archive class, is not said to be other content.
awaitable<std::unique_ptr<storage::ObjectReader>> open(Archive& archive, storage::ObjectKey key) {
    std::optional<Error> refusal;
    try {
        auto reader = co_await archive.storage.get(std::move(key), {});
        co_return reader;
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::refused) throw;
        refusal = error;
    }
    throw Error(ErrorKind::failed, refusal->what(), refusal->hint());
}

} // namespace

awaitable<void> StoredWal::warm_up() {
    if (other_methods_) co_return;
    std::set<const codec::Compression*> found;
    storage::ListOptions page_options;
    do {
        const auto page = co_await archive_.storage.answering().list(std::string(wal_folder), page_options);
        for (const auto& object : page.objects) {
            const auto name = std::string_view(object.key.path()).substr(wal_folder.size());
            for (const auto* method : other_methods(archive_)) {
                const auto suffix = method->suffix();
                const bool bare = suffix.empty() && pg::wal_file_kind(name).has_value();
                if (bare || (!suffix.empty() && name.ends_with("." + std::string(suffix)))) found.insert(method);
            }
        }
        page_options.token = page.next;
    } while (page_options.token);
    other_methods_.emplace(found.begin(), found.end());
}

void StoredWal::seen(const std::set<const codec::Compression*>& methods) {
    if (!other_methods_) return;
    for (const auto* method : methods) {
        const bool known = std::ranges::find(*other_methods_, method) != other_methods_->end();
        if (!known && method != archive_.packing.compression) other_methods_->push_back(method);
    }
}

awaitable<std::optional<StoredObject>> StoredWal::find_before_put(std::string name, bool own_suffix_too) {
    auto methods = other_methods_ ? *other_methods_ : other_methods(archive_);
    if (own_suffix_too) methods.insert(methods.begin(), archive_.packing.compression);
    for (const auto* method : methods) {
        const auto key = wal_key(name, method->suffix());
        // One of several storages that does not answer keeps no other one from being written to.
        const auto info = co_await archive_.storage.answering().head(key);
        if (info) co_return StoredObject{key, method};
    }
    co_return std::nullopt;
}

awaitable<void> StoredWal::check_same(const WalSource& source, StoredObject there) {
    const auto reader = co_await open(archive_, there.key);
    if (!reader)
        throw Error(ErrorKind::transient, fmt::format("{} was there a moment ago, and is not any more", there.key.path()),
                    "is something deleting from the archive?");
    const auto& info = reader->info();
    if (const auto known = info.metadata.find(std::string(plain_sha256)); known != info.metadata.end()) {
        auto work = [&source] { return source.sha256(); };
        const auto sha256 = co_await run_on(archive_.cpu, std::move(work));
        if (known->second == sha256) co_return;
        refuse(source.name(), archive_.storage.describe(), info, fmt::format("SHA-256 {} there, {} here", known->second, sha256));
    }
    if (archive_.packing.cipher != nullptr && !archive_.packing.cipher->can_decrypt())
        throw Error(ErrorKind::refused,
                    fmt::format("{} is in the archive already as {}, and with a public key alone it cannot be compared",
                                source.name(), there.key.path()),
                    "configure the private key, or remove the object if you know that it is wrong");
    Comparison comparison(source);
    UnpackChain chain(archive_.packing.cipher, *there.compression, comparison);
    std::function<bool()> enough = [&comparison] { return comparison.difference().has_value(); };
    std::optional<Error> failure;
    try {
        co_await read_through(archive_, *reader, chain.head(), std::move(enough));
    } catch (const Error& error) {
        failure = error;
    }
    if (failure && failure->kind() != ErrorKind::corrupt) throw *failure;
    if (failure)
        throw Error(ErrorKind::corrupt,
                    fmt::format("{} is in the archive already as {}, which cannot be read: {}", source.name(), there.key.path(),
                                failure->what()),
                    "nothing was changed. Is it of another key, or damaged? Move it away if you know that it is wrong");
    if (comparison.difference())
        refuse(source.name(), archive_.storage.describe(), info,
               fmt::format("they differ at or after byte {}", *comparison.difference()));
}

} // namespace walgd::archive
