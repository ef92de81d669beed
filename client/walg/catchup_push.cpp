#include "client/walg/progress_printer.hpp"
#include "client/walg/verb.hpp"
#include "config/process.hpp"

#include <charconv>
#include <fmt/format.h>

namespace walgd::cli {

namespace {

/// As WAL-G takes it, a whole number (0x... too), or as PostgreSQL prints it.
pg::Lsn parse_place(const std::string& text) {
    if (const auto lsn = pg::Lsn::parse(text)) return *lsn;
    std::string_view digits = text;
    const bool hexadecimal = digits.starts_with("0x") || digits.starts_with("0X");
    if (hexadecimal) digits.remove_prefix(2);
    std::uint64_t bytes = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), bytes, hexadecimal ? 16 : 10);
    if (!digits.empty() && error == std::errc() && end == digits.data() + digits.size()) return pg::Lsn(bytes);
    throw Error(ErrorKind::misconfigured, fmt::format("--from-lsn '{}' is no place in the WAL", text),
                "0/3000060, or the same as a number: 50331744");
}

class CatchupPush : public Verb {
public:
    std::string name() const override { return "catchup-push"; }
    std::string help() const override { return "Store what changed since an LSN, for a standby that lags behind: catchup-fetch"; }

    void options(CLI::App& command) override {
        command.add_option("db_directory", pgdata_, "The primary's data directory")->required();
        command
            .add_option("--from-lsn", from_,
                        "What the stopped standby has on its disk: its \"Latest checkpoint's REDO location\" (pg_controldata)")
            ->required();
    }

    int run(Context& context) override {
        auto options = config::push_options(context.settings);
        options.pgdata = pgdata_;
        options.catchup_from = parse_place(from_);
        options.files_metadata = true; // it tells which files are increments
        auto& archive = context.archive();
        backup::Progress progress;
        const auto result = push(context, archive, options, progress);
        if (context.as_walg) return 0; // its last line is WAL-G's, as for backup-push
        context.log.info("Catchup backup {} of what changed since {}, by {}: {} MiB, {} MiB in the storage", result.name,
                         options.catchup_from->text(), result.source, result.plain_bytes >> 20, result.stored_bytes >> 20);
        context.log.info("On the standby, while it is stopped: walg catchup-fetch PGDATA {}", result.name);
        return 0;
    }

private:
    static backup::PushResult push(Context& context, archive::Archive& archive, const backup::PushOptions& options,
                                   backup::Progress& progress) {
        const ProgressWatch watch("backup", context.log, progress);
        return backup::backup_push(archive, options, progress, context.stop);
    }

    std::string pgdata_, from_;
};

} // namespace

std::unique_ptr<Verb> make_catchup_push() { return std::make_unique<CatchupPush>(); }

} // namespace walgd::cli
