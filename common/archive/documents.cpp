#include "common/archive/documents.hpp"

#include "common/archive/json_text.hpp"
#include "common/base/error.hpp"

#include <fmt/format.h>

namespace walgd::archive {

namespace {

/// As Go writes the time that is none.
constexpr std::string_view no_time = "0001-01-01T00:00:00Z";

/// Takes typed values out of a document; a wrong type is an Error(corrupt) that names object and key.
class Fields {
public:
    Fields(std::string_view json, const std::string& object) : document_(parse_object(json, object)), object_(object) {}

    const nlohmann::json* find(const std::string& key) const {
        const auto found = document_.find(key);
        return found == document_.end() || found->is_null() ? nullptr : &*found;
    }
    std::optional<std::uint64_t> unsigned_number(const std::string& key) const {
        const auto* value = find(key);
        if (value == nullptr) return std::nullopt;
        if (!value->is_number_unsigned()) wrong(key, "a whole number");
        return value->get<std::uint64_t>();
    }
    std::int64_t number(const std::string& key) const {
        const auto* value = find(key);
        if (value == nullptr) return 0;
        if (!value->is_number_integer()) wrong(key, "a whole number");
        return value->get<std::int64_t>();
    }
    std::optional<pg::Lsn> lsn(const std::string& key) const {
        const auto value = unsigned_number(key);
        return value ? std::optional(pg::Lsn(*value)) : std::nullopt;
    }
    std::optional<pg::SystemIdentifier> system(const std::string& key) const {
        const auto value = unsigned_number(key);
        return value ? std::optional(pg::SystemIdentifier(*value)) : std::nullopt;
    }
    std::string text(const std::string& key) const {
        const auto* value = find(key);
        if (value == nullptr) return {};
        if (!value->is_string()) wrong(key, "a string");
        return value->get<std::string>();
    }
    bool flag(const std::string& key) const {
        const auto* value = find(key);
        if (value == nullptr) return false;
        if (!value->is_boolean()) wrong(key, "true or false");
        return value->get<bool>();
    }
    /// Whoever writes the document writes this key: without it nobody knows.
    bool told_flag(const std::string& key) const {
        if (find(key) == nullptr)
            throw Error(ErrorKind::corrupt, fmt::format("{} does not tell {}", object_, key),
                        "the object is damaged: restore it from a copy");
        return flag(key);
    }
    Time time(const std::string& key) const {
        if (find(key) == nullptr) return {};
        const auto parsed = parse_time(text(key));
        if (!parsed) wrong(key, "a time");
        return *parsed;
    }
    std::string json(const std::string& key) const {
        const auto* value = find(key);
        return value == nullptr ? std::string() : json_value(*value);
    }

private:
    [[noreturn]] void wrong(const std::string& key, std::string_view wanted) const {
        throw Error(ErrorKind::corrupt, fmt::format("{}: {} is not {}", object_, key, wanted),
                    "the object is damaged, or of a version that nobody knows");
    }
    nlohmann::json document_;
    const std::string& object_;
};

TablespaceSpec spec_of(const nlohmann::json& document, const std::string& object) {
    const auto wrong = [&](const std::string& what) {
        throw Error(ErrorKind::corrupt, fmt::format("{}: {}", object, what),
                    "a spec is {\"base_prefix\": PGDATA, \"tablespaces\": [name], name: {\"loc\": folder, \"link\": "
                    "\"pg_tblspc/name\"}}");
    };
    TablespaceSpec spec;
    const auto prefix = document.find("base_prefix");
    if (prefix == document.end() || !prefix->is_string()) wrong("the tablespace spec has no base_prefix");
    spec.base_prefix = prefix->get<std::string>();
    const auto names = document.find("tablespaces");
    if (names == document.end() || names->is_null()) return spec;
    if (!names->is_array()) wrong("tablespaces is not a list");
    for (const auto& name : *names) {
        if (!name.is_string()) wrong("a tablespace's name is not a string");
        const auto entry = document.find(name.get<std::string>());
        if (entry == document.end() || !entry->is_object() || !entry->contains("loc") || !(*entry)["loc"].is_string())
            wrong(fmt::format("tablespace {} has no loc", name.get<std::string>()));
        spec.tablespaces.push_back({name.get<std::string>(), (*entry)["loc"].get<std::string>()});
    }
    return spec;
}

std::string spec_json(const TablespaceSpec& spec) {
    // A map in WAL-G: keys sorted, numbers before letters.
    std::map<std::string, std::string> members;
    std::string names;
    for (const auto& entry : spec.tablespaces) {
        members[entry.name] =
            fmt::format(R"({{"loc":{},"link":{}}})", json_string(entry.location), json_string("pg_tblspc/" + entry.name));
        names += (names.empty() ? "" : ",") + json_string(entry.name);
    }
    members["base_prefix"] = json_string(spec.base_prefix);
    members["tablespaces"] = "[" + names + "]";
    std::string text = "{";
    for (const auto& [key, value] : members) text += (text.size() > 1 ? "," : "") + json_string(key) + ":" + value;
    return text + "}";
}

std::string lsn_json(const std::optional<pg::Lsn>& lsn) { return lsn ? std::to_string(lsn->bytes()) : "null"; }

/// Nothing for a full backup, whose sentinel has none of the keys.
std::optional<DeltaOrigin> delta_of(const Fields& fields, const std::string& object) {
    const auto from = fields.text("deltafrom");
    const auto full_name = fields.text("deltafullname");
    const auto count = fields.number("deltacount");
    const auto lsn = fields.lsn(fields.find("deltalsn") != nullptr ? "deltalsn" : "deltafromlsn");
    const auto* named = fields.find("deltafrom");
    if (from.empty() && full_name.empty() && count == 0 && lsn.value_or(pg::Lsn(0)) == pg::Lsn(0)) return std::nullopt;
    // A catchup backup is based on no backup: WAL-G writes its names as empty texts.
    const bool catchup = from.empty() && named != nullptr;
    if (!lsn || (!catchup && (from.empty() || full_name.empty())))
        throw Error(ErrorKind::corrupt, fmt::format("{} is a delta's, but does not tell what it is based on", object),
                    "restore another backup: walg backup-list");
    return DeltaOrigin{*lsn, from, full_name, static_cast<int>(count)};
}

} // namespace

TablespaceSpec parse_tablespace_spec(std::string_view json, const std::string& object) {
    nlohmann::json document;
    try {
        document = nlohmann::json::parse(json);
    } catch (const nlohmann::json::exception& error) {
        throw Error(ErrorKind::misconfigured, fmt::format("{} is not JSON: {}", object, json_complaint(error)));
    }
    if (!document.is_object()) throw Error(ErrorKind::misconfigured, fmt::format("{} is not a JSON object", object));
    return spec_of(document, object);
}

std::string normalized_user_data(std::string_view text) {
    if (too_deep(text)) throw Error(ErrorKind::misconfigured, "the user data has values in each other, too deep for any use");
    try {
        return json_value(nlohmann::json::parse(text));
    } catch (const nlohmann::json::exception& error) {
        throw Error(ErrorKind::misconfigured, fmt::format("the user data is not JSON: {}", json_complaint(error)),
                    R"(a plain text is JSON in quotes: --add-user-data '"text"')");
    }
}

std::string to_json(const Sentinel& sentinel) {
    std::string text = fmt::format(R"({{"LSN":{})", lsn_json(sentinel.start_lsn));
    if (sentinel.delta)
        text += fmt::format(R"(,"DeltaLSN":{},"DeltaFrom":{},"DeltaFullName":{},"DeltaCount":{})", sentinel.delta->lsn.bytes(),
                            json_string(sentinel.delta->from), json_string(sentinel.delta->full_name), sentinel.delta->count);
    text += fmt::format(R"(,"PgVersion":{},"FinishLSN":{})", sentinel.pg_version, lsn_json(sentinel.finish_lsn));
    if (sentinel.system) text += fmt::format(R"(,"SystemIdentifier":{})", sentinel.system->number());
    text += fmt::format(R"(,"UncompressedSize":{},"CompressedSize":{})", sentinel.uncompressed_bytes, sentinel.compressed_bytes);
    if (sentinel.data_catalog_bytes != 0) text += fmt::format(R"(,"DataCatalogSize":{})", sentinel.data_catalog_bytes);
    if (sentinel.spec) text += ",\"Spec\":" + spec_json(*sentinel.spec);
    if (!sentinel.user_data.empty()) text += ",\"UserData\":" + sentinel.user_data;
    if (sentinel.files_metadata_disabled) text += ",\"FilesMetadataDisabled\":true";
    text += ",\"ChkpNum\":null";
    if (sentinel.version >= 2)
        text += fmt::format(
            R"(,"Version":{},"StartTime":"{}","FinishTime":"{}","DateFmt":{},"Hostname":{},"DataDir":{},"IsPermanent":{})",
            sentinel.version, format_time(sentinel.start_time), format_time(sentinel.finish_time), json_string(date_format),
            json_string(sentinel.hostname), json_string(sentinel.data_dir), sentinel.is_permanent);
    if (sentinel.data_checksums) text += fmt::format(R"(,"DataChecksums":{})", *sentinel.data_checksums);
    return text + "}";
}

Sentinel parse_sentinel(std::string_view json, const std::string& object) {
    const Fields fields(json, object);
    Sentinel sentinel;
    sentinel.start_lsn = fields.lsn("lsn");
    sentinel.finish_lsn = fields.lsn("finishlsn");
    sentinel.delta = delta_of(fields, object);
    sentinel.pg_version = static_cast<int>(fields.number("pgversion"));
    sentinel.system = fields.system("systemidentifier");
    sentinel.uncompressed_bytes = fields.number("uncompressedsize");
    sentinel.compressed_bytes = fields.number("compressedsize");
    sentinel.data_catalog_bytes = fields.number("datacatalogsize");
    if (const auto* spec = fields.find("spec"); spec != nullptr) {
        if (!spec->is_object()) throw Error(ErrorKind::corrupt, fmt::format("{}: Spec is not an object", object));
        sentinel.spec = spec_of(*spec, object);
    }
    sentinel.user_data = fields.json("userdata");
    sentinel.files_metadata_disabled = fields.flag("filesmetadatadisabled");
    const auto* files = fields.find("files");
    sentinel.has_files = files != nullptr && files->is_object() && !files->empty();
    if (fields.find("datachecksums") != nullptr) sentinel.data_checksums = fields.flag("datachecksums");
    sentinel.version = static_cast<int>(fields.number("version"));
    sentinel.start_time = fields.time("starttime");
    sentinel.finish_time = fields.time("finishtime");
    sentinel.hostname = fields.text("hostname");
    sentinel.data_dir = fields.text("datadir");
    sentinel.is_permanent = fields.flag("ispermanent");
    return sentinel;
}

std::string to_json(const BackupMetadata& metadata) {
    auto text = fmt::format(
        R"({{"start_time":"{}","finish_time":"{}","date_fmt":{},"hostname":{},"data_dir":{},"pg_version":{},"start_lsn":{},"finish_lsn":{},)"
        R"("is_permanent":{},"system_identifier":{},"uncompressed_size":{},"compressed_size":{})",
        format_time(metadata.start_time), format_time(metadata.finish_time), json_string(metadata.date_fmt),
        json_string(metadata.hostname), json_string(metadata.data_dir), metadata.pg_version,
        metadata.start_lsn.value_or(pg::Lsn(0)).bytes(), metadata.finish_lsn.value_or(pg::Lsn(0)).bytes(), metadata.is_permanent,
        metadata.system ? std::to_string(metadata.system->number()) : "null", metadata.uncompressed_bytes,
        metadata.compressed_bytes);
    if (!metadata.user_data.empty()) text += ",\"user_data\":" + metadata.user_data;
    return text + "}";
}

BackupMetadata parse_metadata(std::string_view json, const std::string& object) {
    const Fields fields(json, object);
    BackupMetadata metadata;
    metadata.start_time = fields.time("start_time");
    metadata.finish_time = fields.time("finish_time");
    metadata.date_fmt = fields.text("date_fmt");
    metadata.hostname = fields.text("hostname");
    metadata.data_dir = fields.text("data_dir");
    metadata.pg_version = static_cast<int>(fields.number("pg_version"));
    metadata.start_lsn = fields.lsn("start_lsn");
    metadata.finish_lsn = fields.lsn("finish_lsn");
    metadata.is_permanent = fields.told_flag("is_permanent");
    metadata.system = fields.system("system_identifier");
    metadata.uncompressed_bytes = fields.number("uncompressed_size");
    metadata.compressed_bytes = fields.number("compressed_size");
    metadata.user_data = fields.json("user_data");
    return metadata;
}

std::string to_json(const Journal& journal) {
    return fmt::format(R"({{"PriorBackupEnd":"{}","CurrentBackupEnd":"{}","SizeToNextBackup":{}}})",
                       journal.prior_end ? format_time(*journal.prior_end) : no_time, format_time(journal.end),
                       journal.bytes_to_next);
}

Journal parse_journal(std::string_view json, std::string backup, const std::string& object) {
    const Fields fields(json, object);
    Journal journal;
    journal.backup = std::move(backup);
    if (const auto prior = fields.text("priorbackupend"); !prior.empty() && prior != no_time)
        journal.prior_end = fields.time("priorbackupend");
    journal.end = fields.time("currentbackupend");
    journal.bytes_to_next = fields.unsigned_number("sizetonextbackup").value_or(0);
    return journal;
}

} // namespace walgd::archive
