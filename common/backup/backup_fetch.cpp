#include "common/backup/backup_fetch.hpp"

#include "common/backup/restore_member_check.hpp"
#include "common/backup/restore_plan.hpp"
#include "common/backup/restore_target.hpp"
#include "common/codec/tar_reader.hpp"

#include <algorithm>
#include <atomic>
#include <fmt/format.h>
#include <future>
#include <optional>
#include <thread>

namespace walgd::backup {

namespace {

constexpr std::size_t chunk_bytes = 512 << 10;

/// Files, folders and links of one tar, as they come, into the target.
class MemberWriter : public codec::TarReader::Handler {
public:
    MemberWriter(RestoreTarget& target, MemberCheck& check, bool leave_out_tablespace_map, Progress& progress)
        : target_(target), check_(check), leave_out_tablespace_map_(leave_out_tablespace_map), progress_(progress) {}

    void begin(const codec::TarMember& member) override {
        check_.add(member.name);
        using Type = codec::TarMember::Type;
        if (member.type == Type::directory)
            target_.create_folder(member.name, member.mode);
        else if (member.type == Type::symlink)
            target_.create_link(member.name, member.link);
        else if (!leave_out_tablespace_map_ || relative_member(member.name) != "tablespace_map")
            file_ = target_.create_file(member.name, member.mode);
    }
    void data(ByteView bytes) override {
        if (file_) file_->write(bytes);
        progress_.bytes_done += bytes.size();
        bytes_ += bytes.size();
    }
    void end() override {
        if (!file_) return;
        file_->finish();
        file_.reset();
        ++progress_.files_done;
        ++files_;
    }
    std::uint64_t files() const { return files_; }
    std::uint64_t bytes() const { return bytes_; }

private:
    RestoreTarget& target_;
    MemberCheck& check_;
    bool leave_out_tablespace_map_;
    Progress& progress_;
    std::optional<RestoreTarget::File> file_;
    std::uint64_t files_ = 0, bytes_ = 0;
};

/// Takes the tars off a list, several threads at once; the first failure ends all.
class Extraction {
public:
    Extraction(archive::Archive& archive, const RestorePlan& plan, RestoreTarget& target, Progress& progress,
               std::stop_token stop)
        : archive_(archive), plan_(plan), target_(target), progress_(progress), stop_(std::move(stop)) {}

    void run(const std::vector<TarObject>& tars, unsigned threads) {
        next_ = 0;
        std::vector<std::jthread> workers;
        for (unsigned index = 0; index < std::min<std::size_t>(threads, tars.size()); ++index)
            workers.emplace_back([&] { work(tars); });
        workers.clear(); // joins
        if (failure_) std::rethrow_exception(failure_);
    }
    MemberCheck& members() { return members_; }
    FetchResult result() const { return {plan_.backup.name, files_, bytes_}; }

private:
    void work(const std::vector<TarObject>& tars) {
        try {
            for (auto index = next_++; index < tars.size() && !failed_; index = next_++) extract(tars[index]);
        } catch (...) {
            const std::lock_guard lock(mutex_);
            if (!failed_.exchange(true)) failure_ = std::current_exception();
        }
    }

    void extract(const TarObject& tar) {
        try {
            extract_chain(tar);
        } catch (const Error& error) {
            if (std::string_view(error.what()).find(tar.key.path()) != std::string_view::npos) throw;
            throw error.within(tar.key.path());
        }
    }

    void extract_chain(const TarObject& tar) {
        const OnIoThread reader(archive_.io, run_blocking(archive_.io, archive_.storage.get(tar.key, {}), stop_));
        if (!reader)
            throw Error(ErrorKind::corrupt, "was listed, and is not there any more",
                        "is something deleting from this archive? Try again, or restore another backup");
        MemberWriter writer(target_, members_, plan_.spec_given, progress_);
        codec::TarReader members(writer, tar.key.path());
        const auto decompress = tar.compression->decompressor(members);
        std::unique_ptr<codec::Sink> decrypt;
        if (archive_.packing.cipher != nullptr) decrypt = archive_.packing.cipher->decryptor(*decompress);
        pump(*reader, decrypt ? *decrypt : *decompress);
        files_ += writer.files();
        bytes_ += writer.bytes();
    }

    /// The next chunk is on its way while this one is decoded.
    void pump(storage::ObjectReader& reader, codec::Sink& sink) {
        const auto lease = archive_.budget.acquire(2 * chunk_bytes, stop_);
        Blob chunks[2] = {Blob(chunk_bytes), Blob(chunk_bytes)};
        auto ask = [&](Blob& chunk) {
            return asio::co_spawn(archive_.io, reader.read({chunk.data(), chunk.capacity()}), asio::use_future);
        };
        auto answer = ask(chunks[0]);
        for (unsigned turn = 0;; ++turn) {
            const auto count = answer.get();
            if (count == 0) break;
            if (stop_.stop_requested() || failed_) throw Error(ErrorKind::cancelled, "cancelled");
            const auto& chunk = chunks[turn % 2];
            answer = ask(chunks[(turn + 1) % 2]);
            try {
                progress_.stored_bytes += count;
                sink.write({chunk.data(), count});
            } catch (...) {
                answer.wait(); // it writes into a chunk of ours
                throw;
            }
        }
        sink.finish();
    }

    archive::Archive& archive_;
    const RestorePlan& plan_;
    RestoreTarget& target_;
    Progress& progress_;
    std::stop_token stop_;
    MemberCheck members_;
    std::atomic<std::size_t> next_ = 0;
    std::atomic<std::uint64_t> files_ = 0, bytes_ = 0;
    std::atomic<bool> failed_ = false;
    std::mutex mutex_;
    std::exception_ptr failure_;
};

} // namespace

FetchResult backup_fetch(archive::Archive& archive, const FetchOptions& options, Progress& progress, std::stop_token stop) {
    RestoreTarget target(options.destination);
    const auto plan = plan_restore(archive, options.backup, options.restore_spec);
    if (plan.spec) {
        for (const auto& entry : plan.spec->tablespaces) target.add_tablespace(entry);
    }
    const auto bytes = static_cast<std::uint64_t>(std::max<std::int64_t>(plan.sentinel.uncompressed_bytes, 0));
    target.check_space(bytes);
    archive.log.info("Selecting the backup with name {}: {} parts, {} MiB", plan.backup.name, plan.parts.size(), bytes >> 20);
    target.prepare();
    progress.bytes_total = bytes;
    progress.phase = Phase::copying;
    try {
        // More tars at once than cores help only while the storage is waited for.
        const auto threads = std::clamp(options.downloads, 1U, 2 * std::max(1U, std::thread::hardware_concurrency()));
        Extraction extraction(archive, plan, target, progress, stop);
        extraction.run(plan.parts, threads);
        extraction.run(plan.finals, 1);
        extraction.members().compare(archive, plan.backup.name, !plan.sentinel.files_metadata_disabled);
        progress.phase = Phase::syncing;
        target.finish(options.fsync);
        progress.phase = Phase::done;
        return extraction.result();
    } catch (const Error& error) {
        const auto rest = fmt::format(
            "{} holds an incomplete restore, which PostgreSQL will not start: remove it before the next try", target.path());
        throw Error(error.kind(), error.what(), error.hint().empty() ? rest : error.hint() + "; " + rest);
    }
}

} // namespace walgd::backup
