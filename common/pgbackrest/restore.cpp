#include "common/pgbackrest/restore.hpp"

#include "common/backup/object_pump.hpp"
#include "common/backup/restore/restore_target.hpp"
#include "common/base/in_parallel.hpp"
#include "common/pgbackrest/restore_plan.hpp"
#include "common/pgbackrest/run_reader.hpp"

#include <algorithm>
#include <atomic>
#include <fmt/format.h>
#include <thread>

namespace walgd::pgbackrest {

namespace {

/// Takes the runs off a list, several threads at once; the first failure ends all.
class Extraction {
public:
    Extraction(Repository& repository, const Manifest& manifest, const RestoreRuns& plan, backup::RestoreTarget& target,
               backup::Progress& progress, std::stop_token stop)
        : repository_(repository), manifest_(manifest), plan_(plan), target_(target), progress_(progress),
          stop_(std::move(stop)) {}

    void run(unsigned threads) {
        in_parallel(plan_.runs.size(), threads,
                    [this](std::size_t index, const std::atomic<bool>& failed) { extract(plan_.runs[index], failed); });
    }

private:
    void extract(const StoredRun& run, const std::atomic<bool>& failed) {
        auto& archive = repository_.archive();
        const auto& first = manifest_.files[plan_.order[run.first]];
        const auto key = key_of(manifest_, first, repository_.stanza());
        storage::ByteRange range;
        if (!run.whole) range = storage::ByteRange{run.offset, run.bytes};
        const OnIoThread reader(archive.io, run_blocking(archive.io, archive.storage.get(key, range), stop_));
        if (!reader)
            throw Error(ErrorKind::corrupt,
                        fmt::format("{} is not in {}, and {} is in it", key.path(), archive.storage.describe(), first.name),
                        "was the backup that holds it removed? Restore another one");
        RunReader files(manifest_, plan_, run, key.path(), target_, progress_);
        backup::pump(archive, *reader, files, stop_, [&](std::size_t count) {
            if (stop_.stop_requested() || failed) throw Error(ErrorKind::cancelled, "cancelled");
            progress_.stored_bytes += count;
        });
    }

    Repository& repository_;
    const Manifest& manifest_;
    const RestoreRuns& plan_;
    backup::RestoreTarget& target_;
    backup::Progress& progress_;
    std::stop_token stop_;
};

void add_tablespaces(backup::RestoreTarget& target, const Manifest& manifest, const std::string& restore_spec) {
    using Entry = archive::TablespaceSpec::Entry;
    std::vector<Entry> given;
    if (!restore_spec.empty()) given = archive::parse_tablespace_spec(restore_spec, "the restore spec").tablespaces;
    for (const auto& entry : given) {
        if (std::ranges::find(manifest.tablespaces, entry.name, &Entry::name) == manifest.tablespaces.end())
            throw Error(ErrorKind::misconfigured,
                        fmt::format("the restore spec names tablespace {}, which {} has not", entry.name, manifest.label));
    }
    for (auto entry : manifest.tablespaces) {
        const auto found = std::ranges::find(given, entry.name, &Entry::name);
        if (found != given.end()) entry.location = found->location;
        target.add_tablespace(entry);
    }
}

void tell(Log& log, const Manifest& manifest) {
    for (const auto& link : manifest.links)
        log.info("{} was a link in the cluster: what it led to is restored in its place", link);
    for (const auto& file : manifest.files) {
        if (file.damaged) log.warn("{} has pages whose checksums were wrong when the backup was made", file.name);
    }
}

void make_folders_and_empty_files(backup::RestoreTarget& target, const Manifest& manifest, const RestoreRuns& plan) {
    for (const auto& folder : manifest.folders) target.create_folder(member_of(folder.name), folder.mode);
    for (const auto index : plan.empty) {
        const auto& file = manifest.files[index];
        target.create_file(member_of(file.name), file.mode).finish();
    }
}

} // namespace

RestoreResult restore(Repository& repository, const RestoreOptions& options, backup::Progress& progress, std::stop_token stop) {
    auto& archive = repository.archive();
    backup::RestoreTarget target(options.destination);
    target.require_empty();
    const auto backup = run_blocking(archive.io, repository.find_backup(options.backup), stop);
    auto read = repository.manifest(backup.label, ManifestReader::Files::wanted);
    const auto manifest = run_blocking(archive.io, std::move(read), stop);
    const auto plan = plan_runs(manifest);
    target.set(backup::RestoreTarget::Holds::nothing, options.fsync);
    add_tablespaces(target, manifest, options.restore_spec);
    if (const auto doubt = target.check_space(manifest.bytes()); !doubt.empty()) archive.log.warn("{}", doubt);
    archive.log.info("Selecting the backup with name {}: {}, {} files, {} MiB", manifest.label, manifest.type,
                     manifest.files.size(), manifest.bytes() >> 20);
    tell(archive.log, manifest);
    progress.bytes_total = manifest.bytes();
    target.prepare();
    try {
        target.begin();
        progress.phase = backup::Phase::copying;
        make_folders_and_empty_files(target, manifest, plan);
        // More at once than cores help only while the storage is waited for.
        const auto threads = std::clamp(options.downloads, 1U, 2 * std::max(1U, std::thread::hardware_concurrency()));
        Extraction(repository, manifest, plan, target, progress, stop).run(threads);
        progress.phase = backup::Phase::syncing;
        target.finish({options.fsync, true});
        progress.phase = backup::Phase::done;
    } catch (const Error& error) {
        const auto rest =
            fmt::format("{} holds an unfinished restore, which PostgreSQL will not start: remove it, and what is in "
                        "its tablespaces' folders, before the next try",
                        target.path());
        throw Error(error.kind(), error.what(), error.hint().empty() ? rest : error.hint() + "; " + rest);
    }
    return {manifest.label, manifest.files.size(), manifest.bytes()};
}

} // namespace walgd::pgbackrest
