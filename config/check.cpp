#include "config/check.hpp"

#include "common/archive/chain.hpp"
#include "common/archive/layout.hpp"
#include "common/archive/wal_push.hpp"
#include "config/setup.hpp"

#include <fmt/format.h>
#include <functional>
#include <random>

namespace walgd::config {

namespace {

/// Runs one check and prints its line.
class Checks {
public:
    explicit Checks(std::ostream& out) : out_(out) {}

    void run(std::string_view what, const std::function<std::string()>& check) {
        try {
            out_ << fmt::format("{:<28} ok: {}\n", what, check());
        } catch (const Error& error) {
            failed_ = true;
            out_ << fmt::format("{:<28} FAILED: {}\n", what, error.what());
            if (!error.hint().empty()) out_ << fmt::format("{:<28} HINT: {}\n", "", error.hint());
        }
    }
    bool failed() const { return failed_; }

private:
    std::ostream& out_;
    bool failed_ = false;
};

std::string check_packing(const archive::Packing& packing) {
    const std::string probe(100000, 'w');
    codec::BlobSink packed;
    archive::PackChain pack(packing, codec::Content::wal, packed);
    pack.head().write(bytes_of(probe));
    pack.head().finish();
    const auto blob = packed.take();
    const auto cipher =
        packing.cipher == nullptr ? std::string("not encrypted") : fmt::format("encrypted with {}", packing.cipher->name());
    if (packing.cipher != nullptr && !packing.cipher->can_decrypt())
        return fmt::format("{}, {} (public key: this host can write, not restore)", packing.compression->name(), cipher);
    codec::BlobSink unpacked;
    archive::UnpackChain unpack(packing.cipher, *packing.compression, unpacked);
    unpack.head().write(blob.view());
    unpack.head().finish();
    if (text_of(unpacked.take().view()) != probe) throw Error(ErrorKind::corrupt, "what was packed does not come back as it was");
    return fmt::format("{}, {}, reads back", packing.compression->name(), cipher);
}

std::string check_server(const Settings& settings) {
    const auto server = pg::Server::connect(connection_options(settings));
    const auto facts = server->facts();
    auto text =
        fmt::format("PostgreSQL {}.{} at {}, system {}, {} MiB segments, checksums {}, archive_mode {}, archive_command '{}'",
                    facts.version_num / 10000, facts.version_num % 10000, facts.data_directory, facts.system.number(),
                    facts.segment_bytes >> 20, facts.data_checksums ? "on" : "off", facts.archive_mode, facts.archive_command);
    if (facts.archive_mode == "off") text += "; WARNING: archive_mode is off, no WAL will come";
    return text;
}

} // namespace

int run_check(const Settings& settings, archive::Archive& archive, std::ostream& out) {
    Checks checks(out);
    auto& storage = archive.storage;
    std::random_device dice;
    const storage::ObjectKey key(fmt::format("{}check/{:08x}{:08x}", archive::own_folder, dice(), dice()));
    const std::string probe = "walgd --check";
    checks.run("settings", [&] { return fmt::format("storage {}, socket {}", storage.describe(), settings.text("socket")); });
    for (const auto& warning : settings.warnings()) out << fmt::format("{:<28} WARNING: {}\n", "settings", warning);
    checks.run("packing", [&] { return check_packing(archive.packing); });
    checks.run("storage: list", [&] {
        const auto page = run_blocking(archive.io, storage.list(std::string(archive::backup_folder), {}));
        return fmt::format("{} objects on the first page of {}", page.objects.size(), archive::backup_folder);
    });
    checks.run("storage: write", [&] {
        run_blocking(archive.io, storage.put(key, bytes_of(probe), {}));
        return fmt::format("wrote {}", key.path());
    });
    checks.run("storage: read", [&] {
        const auto blob = run_blocking(archive.io, storage::get_whole(storage, key, 1 << 20));
        if (!blob || text_of(blob->view()) != probe)
            throw Error(ErrorKind::corrupt, fmt::format("{} does not come back as it was written", key.path()));
        return std::string("it comes back as written");
    });
    checks.run("storage: remove", [&] {
        const auto failures = run_blocking(archive.io, storage.remove({key}));
        if (!failures.empty()) throw failures.front().error;
        return std::string("removed it");
    });
    checks.run("storage: conditional write", [&] {
        const auto found = run_blocking(archive.io, archive::probe_conditional_put(archive));
        return std::string(found == archive::ConditionalPut::works ? "If-None-Match is kept: nothing can be overwritten"
                                                                   : "not kept by this storage: walgd looks before it puts");
    });
    checks.run("PostgreSQL", [&] { return check_server(settings); });
    return checks.failed() ? 1 : 0;
}

} // namespace walgd::config
