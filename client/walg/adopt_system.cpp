#include "client/walg/verb.hpp"
#include "client/walg/words.hpp"
#include "common/archive/wal/wal_push.hpp"
#include "common/pg/control_file.hpp"

#include <fmt/format.h>

namespace walgd::cli {

namespace {

class AdoptSystem : public Verb {
public:
    std::string name() const override { return "adopt-system"; }
    std::string help() const override {
        return "After pg_upgrade: let the archive take the WAL of the cluster's new system identifier";
    }

    void options(CLI::App& command) override {
        command.add_option("db_directory", pgdata_, "The upgraded cluster's data directory; PGDATA if not given");
        command.add_option("--system", system_, "The system identifier, where the data directory is not at hand")
            ->check(is_from_1);
        command.add_flag("--confirm", confirm_, "Do it; without it only says what would be done");
    }

    int run(Context& context) override {
        const auto system = wanted_system(context);
        auto& archive = context.archive();
        const auto known = run_blocking(context.io, archive::archive_system(archive), context.stop);
        if (known == system) {
            context.log.info("{} belongs to the cluster {} already", archive.storage.describe(), system.number());
            return 0;
        }
        const auto before = known ? std::to_string(known->number()) : "none";
        if (!confirm_) {
            context.log.info("{} belongs to the cluster {}; with --confirm it takes {} from now on, and refuses the other",
                             archive.storage.describe(), before, system.number());
            return 0;
        }
        run_blocking(context.io, archive::adopt_system(archive, system), context.stop);
        context.log.info("{} takes the cluster {} from now on (before: {}); take a base backup soon: WAL of the one does not "
                         "follow a backup of the other",
                         archive.storage.describe(), system.number(), before);
        return 0;
    }

private:
    pg::SystemIdentifier wanted_system(const Context& context) const {
        if (system_ != 0) return pg::SystemIdentifier(system_);
        const auto pgdata = pgdata_.empty() ? context.settings.text("pgdata") : pgdata_;
        if (pgdata.empty())
            throw Error(ErrorKind::misconfigured, "no data directory was named",
                        "walg adopt-system PGDATA --confirm, or --system NUMBER");
        return pg::read_control_file(pgdata).system;
    }

    std::string pgdata_;
    std::uint64_t system_ = 0;
    bool confirm_ = false;
};

} // namespace

std::unique_ptr<Verb> make_adopt_system() { return std::make_unique<AdoptSystem>(); }

} // namespace walgd::cli
