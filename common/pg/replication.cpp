#include "common/pg/replication.hpp"

#include "common/base/error.hpp"
#include "common/pg/libpq.hpp"
#include "common/pg/wal_name.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace walgd::pg {

namespace {

constexpr int version_with_read_slot = 150000;
constexpr std::string_view undefined_file = "58P01", object_in_use = "55006"; // SQLSTATEs
constexpr std::size_t slot_name_max = 63;

using Message = std::unique_ptr<char, FreeWith<&PQfreemem>>;

/// "16MB" as SHOW prints it.
std::uint64_t size_of(const std::string& text) {
    const auto digits = std::min(text.find_first_not_of("0123456789"), text.size());
    const auto number = number_of(text.substr(0, digits), "its WAL segment size");
    const auto unit = text.substr(digits);
    const unsigned shift = unit == "GB" ? 30 : unit == "MB" ? 20 : unit == "kB" ? 10 : 0;
    if (number >= 1 << 20 || !valid_segment_bytes(number << shift))
        throw Error(ErrorKind::failed, fmt::format("the server gave '{}' as its WAL segment size", text));
    return number << shift;
}

TimelineId timeline_of(const std::string& text) { return TimelineId(static_cast<std::uint32_t>(number_of(text, "a timeline"))); }

class LibpqReplication : public Replication {
public:
    LibpqReplication(OpenConnection open, ConnectionOptions options)
        : connection_(std::move(open.connection)), name_(std::move(open.name)), options_(std::move(options)) {}

    const std::string& name() const override { return name_; }
    ReplicationFacts identify() override;
    std::optional<std::string> timeline_history(TimelineId timeline) override;
    std::optional<ReplicationSlot> slot(const std::string& name) override;
    void create_slot(const std::string& name) override;
    std::optional<StreamEnd> start(const Start& start) override;
    StreamEvent next() override;
    void report(const StandbyStatus& status) override;
    void finish() override;
    int socket() const override { return PQsocket(connection_.get()); }

private:
    Result run(const std::string& command);
    Result rows(const std::string& command, int columns_least);
    [[noreturn]] void refuse_command(const std::string& command, const PGresult* result);
    std::string cell(const Result& result, int column);
    StreamEnd end_of_stream();
    StreamEnd read_end(Result result);
    void drain();
    [[noreturn]] void lost(const std::string& what) { refuse_result(what, name_, connection_.get(), nullptr); }

    Connection connection_;
    std::string name_;
    ConnectionOptions options_; ///< of ordinary connections to the same server
    Message message_;           ///< what next() gave last
};

void LibpqReplication::refuse_command(const std::string& command, const PGresult* result) {
    const auto sqlstate = sqlstate_of(result);
    const auto text = fmt::format("the server refused {} ({}): {}", command, name_, words_of(connection_.get(), result));
    if (sqlstate == object_in_use)
        throw Error(ErrorKind::transient, text, "is another wal-receive running with this slot? WALG_SLOTNAME names it");
    if (sqlstate == no_privilege) throw Error(ErrorKind::denied, text, "give the user the right: ALTER ROLE ... REPLICATION");
    if (sqlstate == not_in_state)
        throw Error(ErrorKind::refused, text,
                    "a slot that lost its WAL is of no use: select pg_drop_replication_slot('...'), wal-receive makes it anew");
    refuse_result(fmt::format("the server refused {}", command), name_, connection_.get(), result);
}

Result LibpqReplication::run(const std::string& command) {
    Result result(PQexec(connection_.get(), command.c_str()));
    const auto status = PQresultStatus(result.get());
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) refuse_command(command, result.get());
    return result;
}

Result LibpqReplication::rows(const std::string& command, int columns_least) {
    auto result = run(command);
    if (PQntuples(result.get()) < 1 || PQnfields(result.get()) < columns_least)
        throw Error(ErrorKind::protocol, fmt::format("the server ({}) answered {} with {} rows of {} columns", name_, command,
                                                     PQntuples(result.get()), PQnfields(result.get())));
    return result;
}

std::string LibpqReplication::cell(const Result& result, int column) {
    return {PQgetvalue(result.get(), 0, column), static_cast<std::size_t>(PQgetlength(result.get(), 0, column))};
}

ReplicationFacts LibpqReplication::identify() {
    const auto version = PQserverVersion(connection_.get());
    if (version < version_least)
        throw Error(ErrorKind::refused, fmt::format("PostgreSQL {} ({}) is older than 13, the oldest that WAL is received from",
                                                    version / 10000, name_));
    const auto system = rows("IDENTIFY_SYSTEM", 3);
    ReplicationFacts facts;
    facts.system = SystemIdentifier(number_of(cell(system, 0), "its system identifier"));
    facts.timeline = timeline_of(cell(system, 1));
    facts.flushed = lsn_of(cell(system, 2));
    facts.segment_bytes = size_of(cell(rows("SHOW wal_segment_size", 1), 0));
    return facts;
}

std::optional<std::string> LibpqReplication::timeline_history(TimelineId timeline) {
    const auto command = fmt::format("TIMELINE_HISTORY {}", timeline.number());
    const Result result(PQexec(connection_.get(), command.c_str()));
    if (sqlstate_of(result.get()) == undefined_file) return std::nullopt;
    if (PQresultStatus(result.get()) != PGRES_TUPLES_OK) refuse_command(command, result.get());
    if (PQntuples(result.get()) < 1 || PQnfields(result.get()) < 2)
        throw Error(ErrorKind::protocol, fmt::format("the server ({}) answered {} without a file", name_, command));
    return cell(result, 1);
}

std::optional<ReplicationSlot> LibpqReplication::slot(const std::string& name) {
    std::string type, restart;
    if (PQserverVersion(connection_.get()) >= version_with_read_slot) {
        const auto result = rows(fmt::format("READ_REPLICATION_SLOT \"{}\"", name), 2);
        type = cell(result, 0);
        restart = cell(result, 1);
    } else {
        const auto found = Server::connect(options_)->rows(fmt::format(
            "select slot_type, coalesce(restart_lsn::text, '') from pg_replication_slots where slot_name = '{}'", name));
        if (!found.empty()) type = found.front().at(0), restart = found.front().at(1);
    }
    if (type.empty()) return std::nullopt;
    if (type != "physical")
        throw Error(ErrorKind::misconfigured, fmt::format("the replication slot {} is a {} one ({})", name, type, name_),
                    "name a physical slot in WALG_SLOTNAME, or one that is not there: it is made");
    return ReplicationSlot{restart.empty() ? std::nullopt : std::optional(lsn_of(restart))};
}

void LibpqReplication::create_slot(const std::string& name) {
    run(fmt::format("CREATE_REPLICATION_SLOT \"{}\" PHYSICAL RESERVE_WAL", name));
}

std::optional<StreamEnd> LibpqReplication::start(const Start& start) {
    const auto command = fmt::format("START_REPLICATION SLOT \"{}\" PHYSICAL {} TIMELINE {}", start.slot, start.lsn.text(),
                                     start.timeline.number());
    if (PQsendQuery(connection_.get(), command.c_str()) == 0) lost("cannot start to stream");
    Result result(PQgetResult(connection_.get()));
    const auto status = PQresultStatus(result.get());
    if (status == PGRES_COPY_BOTH) return std::nullopt;
    if (status != PGRES_TUPLES_OK) refuse_command(command, result.get());
    return read_end(std::move(result));
}

StreamEvent LibpqReplication::next() {
    for (bool consumed = false;; consumed = true) {
        char* raw = nullptr;
        const int bytes = PQgetCopyData(connection_.get(), &raw, 1);
        message_.reset(raw);
        if (bytes > 0) {
            const auto parsed = parse_replication_message(bytes_of({raw, static_cast<std::size_t>(bytes)}));
            return std::visit([](const auto& message) -> StreamEvent { return message; }, parsed);
        }
        if (bytes < 0) return end_of_stream();
        if (consumed) return NothingYet{};
        if (PQconsumeInput(connection_.get()) == 0) lost("the replication connection was lost");
    }
}

StreamEnd LibpqReplication::end_of_stream() {
    Result result(PQgetResult(connection_.get()));
    if (PQresultStatus(result.get()) == PGRES_COPY_IN) {
        // The server is done; it goes on once we are.
        if (PQputCopyEnd(connection_.get(), nullptr) != 1 || PQflush(connection_.get()) != 0) lost("cannot end the stream");
        result.reset(PQgetResult(connection_.get()));
    }
    const auto status = PQresultStatus(result.get());
    if (status == PGRES_TUPLES_OK) return read_end(std::move(result));
    if (status == PGRES_COMMAND_OK)
        throw Error(ErrorKind::transient, fmt::format("the server ({}) ended the stream: it is being shut down", name_));
    if (sqlstate_of(result.get()) == undefined_file) return {std::nullopt, words_of(connection_.get(), result.get())};
    refuse_result("the replication stream broke", name_, connection_.get(), result.get());
}

StreamEnd LibpqReplication::read_end(Result result) {
    if (PQntuples(result.get()) < 1 || PQnfields(result.get()) < 2)
        throw Error(ErrorKind::protocol, fmt::format("the server ({}) ended a timeline without naming the next one", name_));
    StreamEnd end;
    end.next = NextTimeline{timeline_of(cell(result, 0)), lsn_of(cell(result, 1))};
    drain();
    return end;
}

void LibpqReplication::drain() {
    while (const Result result{PQgetResult(connection_.get())}) {
        if (PQresultStatus(result.get()) != PGRES_COMMAND_OK)
            refuse_result("the end of a timeline broke off", name_, connection_.get(), result.get());
    }
}

void LibpqReplication::report(const StandbyStatus& status) {
    const auto message = standby_status_message(status, std::chrono::system_clock::now());
    const auto text = text_of(message);
    if (PQputCopyData(connection_.get(), text.data(), static_cast<int>(text.size())) != 1 || PQflush(connection_.get()) != 0)
        lost("the replication connection was lost");
}

void LibpqReplication::finish() {
    // A server that is gone does not want to know.
    if (PQputCopyEnd(connection_.get(), nullptr) == 1) static_cast<void>(PQflush(connection_.get()));
}

} // namespace

std::unique_ptr<Replication> Replication::connect(const ConnectionOptions& options) {
    return std::make_unique<LibpqReplication>(open_replication(options), options);
}

void check_slot_name(const std::string& name) {
    const bool fine = !name.empty() && name.size() <= slot_name_max && std::ranges::all_of(name, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
    });
    if (!fine)
        throw Error(ErrorKind::misconfigured, fmt::format("'{}' cannot be the name of a replication slot", name),
                    "WALG_SLOTNAME: 1 to 63 lower-case letters, digits and underscores");
}

} // namespace walgd::pg
