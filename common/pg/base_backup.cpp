#include "common/pg/base_backup.hpp"

#include "common/base/error.hpp"
#include "common/pg/base_backup_message.hpp"
#include "common/pg/libpq.hpp"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

namespace walgd::pg {

namespace {

constexpr int version_with_options = 150000;
constexpr std::string_view archive_suffix = ".tar", data_archive = "base.tar";

using Message = std::unique_ptr<char, FreeWith<&PQfreemem>>;

/// For a string of the replication grammar, which knows no parameters.
std::string quoted(const std::string& text) {
    std::string quoted = "'";
    for (const char c : text) {
        if (c == '\'') quoted += c;
        quoted += c;
    }
    return quoted + "'";
}

std::string command_for(int version, const std::string& label) {
    if (version < version_with_options)
        return fmt::format("BASE_BACKUP LABEL {} PROGRESS FAST NOWAIT TABLESPACE_MAP NOVERIFY_CHECKSUMS MANIFEST 'yes' "
                           "MANIFEST_CHECKSUMS 'CRC32C'",
                           quoted(label));
    return fmt::format("BASE_BACKUP (LABEL {}, PROGRESS, CHECKPOINT 'fast', WAIT false, TABLESPACE_MAP, VERIFY_CHECKSUMS false, "
                       "MANIFEST 'yes', MANIFEST_CHECKSUMS 'CRC32C')",
                       quoted(label));
}

class LibpqBaseBackup : public BaseBackup {
public:
    explicit LibpqBaseBackup(OpenConnection open)
        : connection_(std::move(open.connection)), name_(std::move(open.name)), socket_(::dup(PQsocket(connection_.get()))) {}

    const std::string& name() const override { return name_; }
    SystemIdentifier system() override;
    BaseBackupStart start(const std::string& label) override;
    Lsn receive(Receiver& receiver) override;
    void break_off() override { ::shutdown(socket_.get(), SHUT_RDWR); }

private:
    /// An archive: the data directory's, or a tablespace's.
    struct Archive {
        std::optional<std::uint32_t> tablespace;
    };

    Result next_result();
    Result rows(const std::string& what, int columns_least) { return checked_rows(next_result(), what, columns_least); }
    Result checked_rows(Result result, const std::string& what, int columns_least);
    std::string cell(const Result& result, int row, int column) const;
    void read_tablespaces(const Result& result, BaseBackupStart& start);
    template <class Take> void copy(Take take);
    void receive_streams(Receiver& receiver);
    void receive_messages(Receiver& receiver);
    Archive archive_named(std::string_view name) const;
    [[noreturn]] void refuse_answer(const PGresult* result);
    [[noreturn]] void refuse_broken(const PGresult* result);
    [[noreturn]] void refuse_order(std::string_view what) const;

    Connection connection_;
    std::string name_;
    UniqueFd socket_;               ///< our own descriptor of it: libpq closes its one when the connection is lost
    std::vector<Archive> archives_; ///< in the order of the server
    Result next_;                   ///< what follows what was read
    bool begun_ = false;
};

void LibpqBaseBackup::refuse_answer(const PGresult* result) {
    const auto sqlstate = sqlstate_of(result);
    if (begun_) refuse_broken(result);
    const auto text = fmt::format("the server gives no base backup ({}): {}", name_, words_of(connection_.get(), result));
    if (sqlstate == no_privilege) throw Error(ErrorKind::denied, text, "give the user the right: ALTER ROLE ... REPLICATION");
    if (sqlstate == not_in_state)
        throw Error(ErrorKind::refused, text,
                    "wal_level must be replica or logical; of a standby, its primary must have full_page_writes on");
    refuse_result("the server gives no base backup", name_, connection_.get(), result);
}

void LibpqBaseBackup::refuse_broken(const PGresult* result) {
    if (sqlstate_of(result) == not_in_state) // a standby that was promoted, for one
        throw Error(ErrorKind::refused,
                    fmt::format("the base backup broke off ({}): {}", name_, words_of(connection_.get(), result)),
                    "run backup-push again");
    refuse_result("the base backup broke off", name_, connection_.get(), result);
}

void LibpqBaseBackup::refuse_order(std::string_view what) const {
    throw Error(ErrorKind::protocol, fmt::format("the server ({}) sent {} in a base backup", name_, what),
                "does a proxy between walg and PostgreSQL change what passes?");
}

Result LibpqBaseBackup::next_result() {
    Result result(PQgetResult(connection_.get()));
    const auto status = PQresultStatus(result.get());
    if (status != PGRES_TUPLES_OK && status != PGRES_COPY_OUT && status != PGRES_COMMAND_OK) refuse_answer(result.get());
    return result;
}

Result LibpqBaseBackup::checked_rows(Result result, const std::string& what, int columns_least) {
    if (PQresultStatus(result.get()) != PGRES_TUPLES_OK || PQntuples(result.get()) < 1 || PQnfields(result.get()) < columns_least)
        refuse_order("something else than " + what);
    return result;
}

std::string LibpqBaseBackup::cell(const Result& result, int row, int column) const {
    return {PQgetvalue(result.get(), row, column), static_cast<std::size_t>(PQgetlength(result.get(), row, column))};
}

SystemIdentifier LibpqBaseBackup::system() {
    if (PQsendQuery(connection_.get(), "IDENTIFY_SYSTEM") == 0) refuse_answer(nullptr);
    const auto result = rows("its system identifier", 1);
    const SystemIdentifier found(number_of(cell(result, 0, 0), "its system identifier"));
    while (const Result rest{PQgetResult(connection_.get())}) {
        if (PQresultStatus(rest.get()) != PGRES_COMMAND_OK) refuse_answer(rest.get());
    }
    return found;
}

BaseBackupStart LibpqBaseBackup::start(const std::string& label) {
    const auto command = command_for(PQserverVersion(connection_.get()), label);
    if (PQsendQuery(connection_.get(), command.c_str()) == 0) refuse_answer(nullptr);
    const auto place = rows("where the backup starts", 2);
    BaseBackupStart start;
    start.lsn = lsn_of(cell(place, 0, 0));
    start.timeline = TimelineId(static_cast<std::uint32_t>(number_of(cell(place, 0, 1), "a timeline")));
    read_tablespaces(rows("its tablespaces", 3), start);
    next_ = next_result();
    if (PQresultStatus(next_.get()) != PGRES_COPY_OUT) refuse_order("no files");
    begun_ = true;
    return start;
}

/// A row for each archive, in the order in which they come: oid, location, kB. The data directory has neither of the first two.
void LibpqBaseBackup::read_tablespaces(const Result& result, BaseBackupStart& start) {
    for (int row = 0; row < PQntuples(result.get()); ++row) {
        if (PQgetisnull(result.get(), row, 2) == 0)
            start.bytes_total += number_of(cell(result, row, 2), "the size of a tablespace") << 10;
        if (PQgetisnull(result.get(), row, 0) != 0) {
            archives_.push_back({});
            continue;
        }
        const auto oid = static_cast<std::uint32_t>(number_of(cell(result, row, 0), "a tablespace's oid"));
        archives_.push_back({oid});
        start.tablespaces.push_back({oid, cell(result, row, 1)});
    }
}

/// Each message of the stream that is open, and then what follows it: an error of the server, if it is one.
template <class Take> void LibpqBaseBackup::copy(Take take) {
    for (;;) {
        char* raw = nullptr;
        const int bytes = PQgetCopyData(connection_.get(), &raw, 0);
        const Message message(raw);
        if (bytes < -1) refuse_broken(nullptr);
        if (bytes < 0) break;
        take(bytes_of({raw, static_cast<std::size_t>(bytes)}));
    }
    next_ = next_result();
}

/// Up to PostgreSQL 14: a stream for each archive, and one for the manifest.
void LibpqBaseBackup::receive_streams(Receiver& receiver) {
    for (const auto& archive : archives_) {
        if (PQresultStatus(next_.get()) != PGRES_COPY_OUT) refuse_order("fewer archives than it named");
        receiver.begin_archive(archive.tablespace);
        copy([&](ByteView bytes) { receiver.archive_data(bytes); });
        receiver.end_archive();
    }
    if (PQresultStatus(next_.get()) != PGRES_COPY_OUT) refuse_order("no manifest");
    copy([&](ByteView bytes) { receiver.manifest_data(bytes); });
}

LibpqBaseBackup::Archive LibpqBaseBackup::archive_named(std::string_view name) const {
    if (name == data_archive) return {};
    std::uint32_t oid = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), oid);
    const bool known = std::ranges::any_of(archives_, [oid](const Archive& archive) { return archive.tablespace == oid; });
    if (error != std::errc() || std::string_view(end, name.data() + name.size()) != archive_suffix || !known)
        refuse_order(fmt::format("an archive '{}' that it had not named", name));
    return {oid};
}

/// From PostgreSQL 15 on: all in one stream.
void LibpqBaseBackup::receive_messages(Receiver& receiver) {
    enum class In { nothing, archive, manifest };
    In in = In::nothing;
    std::size_t begun = 0;
    auto leave = [&](In next) {
        if (in == In::manifest) refuse_order("something behind the manifest");
        if (in == In::archive) receiver.end_archive();
        in = next;
    };
    auto take = [&](ByteView bytes) {
        const auto message = parse_base_backup_message(bytes);
        if (const auto* archive = std::get_if<ArchiveBegins>(&message)) {
            leave(In::archive);
            ++begun;
            receiver.begin_archive(archive_named(archive->name).tablespace);
        } else if (std::holds_alternative<ManifestBegins>(message)) {
            leave(In::manifest);
        } else if (const auto* data = std::get_if<ArchiveData>(&message)) {
            if (in == In::nothing) refuse_order("data of no archive");
            if (in == In::archive)
                receiver.archive_data(data->bytes);
            else
                receiver.manifest_data(data->bytes);
        }
    };
    copy(take);
    if (in != In::manifest) refuse_order("no manifest");
    if (begun != archives_.size()) refuse_order(fmt::format("{} archives of {}", begun, archives_.size()));
}

Lsn LibpqBaseBackup::receive(Receiver& receiver) {
    if (PQserverVersion(connection_.get()) < version_with_options)
        receive_streams(receiver);
    else
        receive_messages(receiver);
    const auto end = lsn_of(cell(checked_rows(std::move(next_), "where the backup ends", 1), 0, 0));
    while (const Result rest{PQgetResult(connection_.get())}) {
        if (PQresultStatus(rest.get()) != PGRES_COMMAND_OK) refuse_answer(rest.get());
    }
    return end;
}

} // namespace

std::unique_ptr<BaseBackup> BaseBackup::connect(const ConnectionOptions& options) {
    auto open = open_replication(options);
    const auto version = PQserverVersion(open.connection.get());
    if (version < version_least)
        throw Error(ErrorKind::refused, fmt::format("PostgreSQL {} ({}) is older than 13, the oldest that a backup is taken of",
                                                    version / 10000, open.name));
    return std::make_unique<LibpqBaseBackup>(std::move(open));
}

} // namespace walgd::pg
