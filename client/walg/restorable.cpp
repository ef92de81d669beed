#include "client/walg/moment_printer.hpp"
#include "client/walg/read_words.hpp"
#include "client/walg/verb.hpp"
#include "common/backup/restore/archive_wal.hpp"
#include "common/backup/restore/load_view.hpp"

#include <fmt/format.h>
#include <iostream>
#include <nlohmann/json.hpp>

namespace walgd::cli {

namespace {

using nlohmann::ordered_json;

ordered_json json_of(const std::optional<archive::NotedEnd>& commit) {
    if (!commit) return nullptr;
    return {{"time", format_time(commit->time)}, {"xid", commit->xid}, {"lsn", commit->end.text()}};
}

ordered_json json_of(const backup::TimelineWindows& timeline) {
    ordered_json windows = ordered_json::array(), gaps = ordered_json::array();
    for (const auto& window : timeline.windows) {
        windows.push_back({{"backup", window.backup.name},
                           {"usable", window.usable},
                           {"from", {{"time", format_time(window.backup.finish_time)}, {"lsn", window.backup.finish.text()}}},
                           {"to", json_of(window.last_commit)},
                           {"last_segment", window.last_segment},
                           {"missing_segment", window.missing},
                           {"damaged", window.damaged}});
    }
    for (const auto& gap : timeline.gaps) gaps.push_back({{"first", gap.first}, {"last", gap.last}, {"segments", gap.segments}});
    return {{"timeline", timeline.timeline.number()}, {"windows", windows}, {"gaps", gaps}};
}

std::string text_of(const backup::Window& window) {
    const auto& backup = window.backup;
    const auto from =
        fmt::format("  {}  from {} (LSN {})", backup.name, backup::target_time_text(backup.finish_time), backup.finish.text());
    if (!window.usable) return from + " cannot be restored: its own WAL is not complete\n";
    const auto to = window.last_commit ? backup::commit_text(*window.last_commit) : "its own end: there is no commit behind it";
    const auto end = window.missing.empty() ? std::string()
                                            : fmt::format("; {} is {}", window.missing, window.damaged ? "damaged" : "missing");
    return fmt::format("{} to {}{}\n", from, to, end);
}

pg::Lsn lsn_option(const std::string& text, std::string_view option) {
    const auto lsn = pg::Lsn::parse(text);
    if (!lsn) throw Error(ErrorKind::misconfigured, fmt::format("{} '{}' is no LSN", option, text), "like this: 16/B374D848");
    return *lsn;
}

class Restorable : public Verb {
public:
    std::string name() const override { return "restorable"; }
    std::string help() const override { return "From which moment to which the archive can be restored, by timeline and backup"; }

    void options(CLI::App& command) override {
        command.add_flag("--json", json_, "As JSON; with --moments, an object a line");
        auto* time = command.add_option("--time", time_, "Which LSN was this time, with its zone: '2026-11-25 12:03:04+00'");
        auto* lsn = command.add_option("--lsn", lsn_, "Which time was this LSN")->excludes(time);
        auto* moments =
            command.add_flag("--moments", moments_, "List commits, aborts, restore points and checkpoints, from the WAL itself")
                ->excludes(time)
                ->excludes(lsn);
        command.add_option("--from", from_, "The first LSN of --moments")->needs(moments);
        command.add_option("--to", to_, "The LSN before which --moments ends")->needs(moments);
        command
            .add_option("--target-timeline", timeline_, "The timeline of --time, --lsn and --moments; the latest if not given")
            ->check(is_from_1);
        command.add_flag("--rebuild", rebuild_, "First make the commit-time index of what it lacks, by reading the WAL");
        command.add_flag("--without-index", without_index_, "Do not believe the index: read the WAL");
    }

    int run(Context& context) override {
        auto& archive = context.archive();
        const auto loaded = backup::load_view(archive, context.stop);
        backup::ArchiveWal wal(archive, loaded, !without_index_, context.stop);
        if (rebuild_) rebuild(context, wal);
        const auto timeline = timeline_ == 0 ? loaded.view.latest_timeline() : pg::TimelineId(timeline_);
        if (moments_)
            print_moments(loaded.view, wal, timeline);
        else if (!time_.empty() || !lsn_.empty())
            print_bracket(loaded.view, wal, timeline);
        else
            print_windows(backup::restorable_windows(loaded.view, wal));
        context.log.debug("{} segments read", wal.segments_read());
        return 0;
    }

private:
    static void rebuild(Context& context, backup::ArchiveWal& wal) {
        const auto at_once = static_cast<unsigned>(context.settings.number("download_concurrency"));
        const auto count = wal.rebuild(at_once, [&context](std::uint64_t done, std::uint64_t all) {
            if (done % 64 == 0) context.log.info("{} of {} segments of this part of the index read", done, all);
        });
        context.log.info("{} segments were read for the commit-time index", count);
    }

    void print_windows(const std::vector<backup::TimelineWindows>& timelines) const {
        if (json_) {
            ordered_json all = ordered_json::array();
            for (const auto& timeline : timelines) all.push_back(json_of(timeline));
            std::cout << ordered_json{{"timelines", all}}.dump() << "\n";
            return;
        }
        for (const auto& timeline : timelines) {
            std::cout << fmt::format("timeline {}{}\n", timeline.timeline.number(),
                                     timeline.windows.empty() ? ": no backup leads there" : "");
            for (const auto& window : timeline.windows) std::cout << text_of(window);
            for (const auto& gap : timeline.gaps)
                std::cout << fmt::format("  gap: {} to {} ({} segments)\n", gap.first, gap.last, gap.segments);
        }
    }

    void print_bracket(const backup::ArchiveView& view, backup::ArchiveWal& wal, pg::TimelineId timeline) const {
        backup::MomentTarget target;
        target.kind = time_.empty() ? backup::MomentTarget::Kind::lsn : backup::MomentTarget::Kind::time;
        if (time_.empty())
            target.lsn = lsn_option(lsn_, "--lsn");
        else
            target.time = backup::parse_target_time(time_);
        const auto bracket = backup::bracket_of(view, wal, timeline, target);
        if (json_) {
            std::cout << ordered_json{{"timeline", timeline.number()},
                                      {"after", json_of(bracket.after)},
                                      {"before", json_of(bracket.before)},
                                      {"segments_read", wal.segments_read()}}
                             .dump()
                      << "\n";
            return;
        }
        std::cout << fmt::format("{} on timeline {} is\n  after  {}\n  before {}\n", target.text(), timeline.number(),
                                 bracket.after ? backup::commit_text(*bracket.after) : "(no commit in the archive)",
                                 bracket.before ? backup::commit_text(*bracket.before) : "(no commit in the archive)");
    }

    void print_moments(const backup::ArchiveView& view, backup::ArchiveWal& wal, pg::TimelineId timeline) const {
        const backup::TimelinePath path(view, timeline);
        const auto from = from_.empty() ? pg::Lsn(0) : lsn_option(from_, "--from");
        const auto to = to_.empty() ? pg::Lsn(UINT64_MAX) : lsn_option(to_, "--to");
        MomentPrinter printer(from, to, json_);
        std::set<std::uint64_t> numbers;
        for (const auto& segment : view.segments) {
            const bool within = path.segment(segment.number) == segment && path.end_of(segment.number) > from;
            if (within) numbers.insert(segment.number);
        }
        for (const auto number : numbers) {
            if (printer.enough() || pg::Lsn(number * view.segment_bytes) >= to) break;
            std::optional<pg::Segment> next;
            if (numbers.contains(number + 1)) next = path.segment(number + 1);
            wal.read(
                path.segment(number), next, pg::Wanted::noted, printer, [&printer] { return printer.enough(); },
                [&printer](int version) { printer.set_version(version); });
        }
    }

    bool json_ = false, moments_ = false, rebuild_ = false, without_index_ = false;
    std::string time_, lsn_, from_, to_;
    std::uint32_t timeline_ = 0;
};

} // namespace

std::unique_ptr<Verb> make_restorable() { return std::make_unique<Restorable>(); }

} // namespace walgd::cli
