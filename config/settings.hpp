#pragma once
#include "common/base/error.hpp"
#include "common/base/wipe.hpp"

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace walgd::config {

/// How a value is written, and checked.
enum class Type {
    text,
    flag,
    number,
    bytes,
    duration,
    path,
    json,
    storages, ///< a name for each, with settings: {"west": {"WALG_S3_PREFIX": "s3://..."}}; JSON in the environment
};

/// One setting: the row that loading, checking, --help, `walg config` and the reference page all come from.
struct Setting {
    std::string_view name;      ///< ours, in the file: "compression_method"
    std::string_view walg_name; ///< in the environment, and in a file too: "WALG_COMPRESSION_METHOD", "WALGD_SOCKET"
    std::span<const std::string_view> aliases; ///< further environment names, in order: "WALE_S3_PREFIX", "S3_PREFIX" ...
    Type type;
    std::string_view unit;          ///< "MiB", "ms"; what a bare number means
    std::string_view default_value; ///< as text; empty: none
    std::string_view help;          ///< one sentence
    bool secret = false;
    std::span<const std::string_view> choices; ///< allowed values; empty: any
};

/// The table, in the order in which people read about settings.
std::span<const Setting> settings_table();

/// By our name or any of the environment's, in any case; nullptr: there is no such setting.
const Setting* setting_of_key(const std::string& key);

/// What to say about a key that is no setting: the setting whose name is most like it, or where all are listed.
std::string did_you_mean(const std::string& key);

/// Where settings come from; filled by main, or by a test.
struct Sources {
    std::map<std::string, std::string> command_line; ///< by our name or by WAL-G's flag spelling ("walg-storage-prefix")
    std::map<std::string, std::string> environment;  ///< the whole environment
    /// Of systemd's $CREDENTIALS_DIRECTORY: file name and content. They go before the environment.
    std::map<std::string, std::string> credentials;
    std::string config_file; ///< --config; empty: WALG_CONFIG_PATH, else host_file, else ~/.walg.json and WAL-G's other endings
    std::string host_file = "/etc/walgd/walgd.yaml";
    std::string home;             ///< for ~/.walg.*
    bool walg_compatible = false; ///< called as wal-g: an unknown key in the file is a warning, as WAL-G does it
    bool daemon = false;          ///< keys that everyone may read are refused, see open_files.hpp
};

/// What is in force. Every value was checked when it was loaded.
class Settings {
public:
    /// Error(misconfigured) naming the key, where it stands, and the nearest right name or the allowed values.
    static Settings load(const Sources& sources);

    /// By our name; a name that is not in the table is a bug. The default where nothing was given; empty where there is none.
    std::string text(std::string_view name) const;
    bool flag(std::string_view name) const;
    std::int64_t number(std::string_view name) const;
    std::uint64_t bytes(std::string_view name) const;
    std::chrono::milliseconds duration(std::string_view name) const;
    /// True when somebody gave it, default or not.
    bool given(std::string_view name) const;
    /// "command line", "environment WALG_S3_PREFIX", "/etc/walgd/walgd.yaml", "default".
    std::string source(std::string_view name) const;
    /// The names of the settings that have another value in `other`, in the table's order.
    std::vector<std::string> differing(const Settings& other) const;
    /// The value, and where it came from, of one setting of `other`.
    void take(const std::string& name, const Settings& other) { values_[name] = other.values_.at(name); }
    /// One value more, or another one. Error(misconfigured) when it is none of that setting's.
    void give(const Setting& setting, const std::string& text, const std::string& source);
    /// As if nobody had given it.
    void forget(const Setting& setting);
    bool walg_compatible() const { return walg_compatible_; }
    /// Things that are not errors but worth a line: an unknown key under wal-g, WALE_ and WALG_ both set.
    const std::vector<std::string>& warnings() const { return warnings_; }

private:
    class Loader; ///< settings_load.cpp
    struct Value {
        std::string text, source;
        bool given = false;

        ~Value() { wipe(text); }
    };
    std::map<std::string, Value, std::less<>> values_;
    std::vector<std::string> warnings_;
    bool walg_compatible_ = false; ///< as the sources said
};

} // namespace walgd::config
