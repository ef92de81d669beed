#include "client/walg/target_options.hpp"

#include "client/walg/read_words.hpp"
#include "common/base/error.hpp"

#include <fmt/format.h>

namespace walgd::cli {

void TargetOptions::add(CLI::App& command) {
    auto* group = command.add_option_group("target", "Where recovery ends; without one, at the end of the archived WAL");
    group->add_option("--target-time", time_, "The last commit up to this time, with its zone: '2026-11-25 12:03:04+00'")
        ->check(says_something);
    group->add_option("--target-lsn", lsn_, "This place in the WAL")->check(says_something);
    group->add_option("--target-xid", xid_,
                      "This transaction; of pg_current_xact_id() and txid_current() as they are, epoch and all");
    group->add_option("--target-name", name_, "This restore point, of pg_create_restore_point()")->check(says_something);
    group->add_flag("--target-immediate", immediate_, "The end of the backup");
    group->require_option(0, 1);
    auto* exclusively = command.add_flag("--target-exclusive", exclusive_, "End just before the target; of time, LSN and xid");
    command.add_flag("--target-inclusive", inclusive_, "End just after it (the default)")->excludes(exclusively);
}

backup::MomentTarget TargetOptions::target() const {
    using Kind = backup::MomentTarget::Kind;
    backup::MomentTarget target;
    target.inclusive = !exclusive_;
    if (!time_.empty()) {
        target.kind = Kind::time;
        target.time = backup::parse_target_time(time_);
    } else if (!lsn_.empty()) {
        const auto parsed = pg::Lsn::parse(lsn_);
        if (!parsed)
            throw Error(ErrorKind::misconfigured, fmt::format("--target-lsn '{}' is no LSN", lsn_), "like this: 16/B374D848");
        target.kind = Kind::lsn;
        target.lsn = *parsed;
    } else if (xid_) {
        target.kind = Kind::xid;
        target.xid = static_cast<std::uint32_t>(*xid_); // as PostgreSQL reads recovery_target_xid
    } else if (!name_.empty()) {
        target.kind = Kind::name;
        target.name = name_;
    } else if (immediate_) {
        target.kind = Kind::immediate;
    }
    const bool has_sides = target.kind == Kind::time || target.kind == Kind::lsn || target.kind == Kind::xid;
    if (exclusive_ && !has_sides)
        throw Error(ErrorKind::misconfigured, "--target-exclusive goes with --target-time, --target-lsn or --target-xid");
    return target;
}

} // namespace walgd::cli
