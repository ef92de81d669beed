#include "common/archive/wal/wal_stream.hpp"

#include "common/base/error.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace walgd::archive {

namespace {

/// Well below wal_sender_timeout (60 s), after which the server gives up on us.
constexpr std::chrono::seconds report_interval{10};
/// A server that says nothing for so long, asked or not, is gone.
constexpr std::chrono::seconds silence_max{60};
/// A push that is under way when we are stopped may take so long.
constexpr std::chrono::seconds last_push_limit{10};

} // namespace

WalStream::WalStream(Room room, WalAssembler& assembler)
    : room_(std::move(room)), assembler_(assembler), stored_(assembler.position()) {}

std::optional<pg::StreamEnd> WalStream::run() {
    while (!room_.stop.stop_requested()) {
        room_.wake.clear();
        collect();
        if (end_ && !pushed_ && !assembler_.full()) return std::move(end_);
        if (!end_ && Clock::now() - reported_ >= report_interval) report(true);
        if (step()) continue;
        check_silence();
        wait();
    }
    finish();
    return std::nullopt;
}

/// Does one thing that can be done without waiting; false when there is none.
bool WalStream::step() {
    if (assembler_.full()) {
        if (pushed_) return false;
        hand_over();
        return true;
    }
    if (!rest_.empty()) {
        rest_ = rest_.subspan(assembler_.take(assembler_.position(), rest_));
        return true;
    }
    if (end_) return false;
    return take(room_.server.next());
}

bool WalStream::take(const pg::StreamEvent& event) {
    if (std::holds_alternative<pg::NothingYet>(event)) return false;
    heard_ = Clock::now();
    if (const auto* data = std::get_if<pg::WalData>(&event))
        take_wal(*data);
    else if (const auto* keepalive = std::get_if<pg::Keepalive>(&event))
        answer(*keepalive);
    else
        end_ = std::get<pg::StreamEnd>(event);
    return true;
}

void WalStream::take_wal(const pg::WalData& data) {
    rest_ = data.wal.subspan(assembler_.take(data.start, data.wal));
    if (begun_) return;
    begun_ = true;
    report();
}

void WalStream::answer(const pg::Keepalive& keepalive) {
    if (!keepalive.reply_wanted) return;
    const bool all_here = keepalive.server_end == assembler_.position();
    if (!all_here) return report();
    // A server that shuts down waits until all it sent is flushed, or, where no flush is claimed, written. The begun segment will
    // not be stored before it is full, so nothing is claimed here; what the slot keeps stays as it was.
    room_.server.report({.written = assembler_.position(), .flushed = pg::Lsn(0)});
    reported_ = Clock::now();
}

void WalStream::hand_over() {
    pushed_ = assembler_.segment();
    auto name = assembler_.name();
    room_.keeper.begin(std::move(name), assembler_.release());
}

void WalStream::collect() {
    if (!pushed_ || !room_.keeper.collect()) return;
    room_.on_stored(*pushed_);
    stored_ = pg::segment_start({pushed_->timeline, pushed_->number + 1}, assembler_.segment_bytes());
    pushed_.reset();
    if (!end_) report();
}

void WalStream::report(bool reply_wanted) {
    // The slot takes a flushed position as it is told, backwards too. One whose WAL the server turns out not to have any more
    // would ruin the slot, so none is told before the first WAL came.
    const auto flushed = begun_ ? stored_ : pg::Lsn(0);
    room_.server.report({.written = assembler_.position(), .flushed = flushed, .reply_wanted = reply_wanted});
    reported_ = Clock::now();
}

void WalStream::check_silence() {
    if (!listening()) heard_ = Clock::now(); // it is we who do not read
    if (Clock::now() - heard_ > silence_max)
        throw Error(ErrorKind::transient,
                    fmt::format("the server ({}) said nothing for {} s", room_.server.name(), silence_max.count()));
}

void WalStream::wait() {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(reported_ + report_interval - Clock::now());
    const auto limit = end_ ? std::chrono::milliseconds(report_interval) : std::max(left, std::chrono::milliseconds(0));
    room_.wake.wait(limit, listening() ? std::optional(room_.server.socket()) : std::nullopt);
}

void WalStream::finish() {
    const auto end = Clock::now() + last_push_limit;
    while (pushed_ && Clock::now() < end) {
        room_.wake.clear();
        collect();
        if (pushed_) room_.wake.wait(std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()));
    }
    if (!end_) room_.server.finish();
}

} // namespace walgd::archive
