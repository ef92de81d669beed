#include "common/archive/documents.hpp"
#include "common/archive/json_text.hpp"
#include "common/archive/relation_names.hpp"
#include "common/base/bytes.hpp"
#include "common/base/character_iterator.hpp"
#include "common/base/error.hpp"
#include "common/codec/pull_thread.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace walgd::archive {

void FilesMetadataWriter::enter(At next) {
    static constexpr std::string_view heads[] = {"", "\"Files\":{", "\"TarFileSets\":{", ""};
    if (next == At::end && at_ < At::tars) {
        enter(At::files);
        out_("}");
        at_ = At::end;
        return;
    }
    while (at_ < next) {
        if (at_ == At::files || at_ == At::tars) out_("}");
        const bool opened = at_ != At::start;
        at_ = static_cast<At>(static_cast<int>(at_) + 1);
        const auto head = heads[static_cast<int>(at_)];
        if (!opened) out_("{");
        if (opened && !head.empty()) out_(",");
        if (!head.empty()) out_(head);
        first_ = true;
    }
}

void FilesMetadataWriter::add(std::string_view member, const FileDescription& file) {
    enter(At::files);
    auto text = fmt::format(R"({}{}:{{"IsIncremented":{},"IsSkipped":{},"MTime":"{}")", first_ ? "" : ",", json_string(member),
                            file.is_incremented, file.is_skipped, format_time(file.modified));
    if (file.corrupt_block_count > 0) {
        std::string blocks;
        for (const auto block : file.corrupt_blocks) blocks += (blocks.empty() ? "" : ",") + std::to_string(block);
        text += fmt::format(R"(,"CorruptBlocks":{{"CorruptBlocksCount":{},"SomeCorruptBlocks":[{}]}})", file.corrupt_block_count,
                            blocks);
    }
    out_(fmt::format("{},\"UpdatesCount\":{}}}", text, file.updates));
    first_ = false;
}

void FilesMetadataWriter::part(std::string_view tar, const std::vector<std::string>& members) {
    enter(At::tars);
    out_(fmt::format("{}{}:[", first_ ? "" : ",", json_string(tar)));
    first_ = false;
    for (std::size_t index = 0; index < members.size(); ++index) out_((index > 0 ? "," : "") + json_string(members[index]));
    out_("]");
}

void FilesMetadataWriter::databases(std::string_view json) {
    if (at_ != At::end) {
        enter(At::end);
        out_(",\"DatabasesByNames\":");
    }
    out_(json);
}

void FilesMetadataWriter::finish() {
    enter(At::end);
    out_("}");
}

namespace {

/// Follows the parser's events; keeps one file's entry, never the document.
class Events : public nlohmann::json_sax<nlohmann::json> {
public:
    Events(FilesMetadataReader::Callbacks& callbacks, const std::string& object)
        : callbacks_(callbacks), object_(object), names_(callbacks, object) {}

    bool null() override { return true; }
    bool boolean(bool value) override {
        if (in_file() && depth_ == 3) {
            if (field_ == "isincremented") file_.is_incremented = tell(value, incremented_told_);
            if (field_ == "isskipped") file_.is_skipped = tell(value, skipped_told_);
        }
        return true;
    }
    bool number_integer(number_integer_t) override { return true; }
    bool number_unsigned(number_unsigned_t value) override {
        if (top_ == "databasesbynames") names_.number(path_, value);
        if (in_file() && depth_ == 3 && field_ == "updatescount") file_.updates = value;
        if (in_file() && depth_ == 4 && field_ == "corruptblockscount") file_.corrupt_block_count = value;
        if (in_file() && depth_ == 4 && field_ == "somecorruptblocks" && in_list_)
            file_.corrupt_blocks.push_back(static_cast<std::uint32_t>(value));
        return true;
    }
    bool number_float(number_float_t, const string_t&) override { return true; }
    bool string(string_t& value) override {
        if (in_file() && depth_ == 3 && field_ == "mtime") {
            const auto time = parse_time(value);
            if (!time) throw Error(ErrorKind::corrupt, fmt::format("{}: MTime '{}' of {} is not a time", object_, value, name_));
            file_.modified = *time;
        }
        if (top_ == "tarfilesets" && in_list_ && depth_ == 2 && callbacks_.tar_member) callbacks_.tar_member(name_, value);
        return true;
    }
    bool binary(binary_t&) override { return true; }
    bool start_object(std::size_t) override {
        if (++depth_ == 3 && top_ == "files") {
            file_ = {};
            incremented_told_ = skipped_told_ = false;
        }
        return true;
    }
    bool key(string_t& value) override {
        if (depth_ == 1)
            top_ = lower_case(value);
        else if (depth_ == 2)
            name_ = value;
        else
            field_ = lower_case(value);
        if (top_ == "databasesbynames" && depth_ >= 2) {
            path_.resize(static_cast<std::size_t>(depth_) - 2);
            path_.push_back(value);
        }
        return true;
    }
    bool end_object() override {
        if (depth_ == 3 && top_ == "files") end_file();
        if (top_ == "databasesbynames" && depth_ >= 3) {
            path_.resize(static_cast<std::size_t>(depth_) - 2);
            names_.end(path_);
        }
        --depth_;
        return true;
    }
    bool start_array(std::size_t) override {
        if (depth_ == 0) throw Error(ErrorKind::corrupt, fmt::format("{} is not a JSON object", object_));
        in_list_ = true;
        return true;
    }
    bool end_array() override {
        in_list_ = false;
        return true;
    }
    bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& error) override {
        throw Error(ErrorKind::corrupt, fmt::format("{} is not JSON at byte {}: {}", object_, position, json_complaint(error)),
                    "the object is damaged or cut");
    }

private:
    bool in_file() const { return top_ == "files"; }
    static bool tell(bool value, bool& told) {
        told = true;
        return value;
    }
    /// Without one of these nobody knows what its member is.
    void end_file() {
        if (!incremented_told_ || !skipped_told_)
            throw Error(
                ErrorKind::corrupt,
                fmt::format("{} does not tell {} of {}", object_, incremented_told_ ? "IsSkipped" : "IsIncremented", name_),
                "the object is damaged: restore it from a copy, or another backup");
        if (callbacks_.file) callbacks_.file(name_, file_);
    }

    FilesMetadataReader::Callbacks& callbacks_;
    const std::string& object_;
    std::string top_, name_, field_;
    FileDescription file_;
    bool incremented_told_ = false, skipped_told_ = false; ///< of it
    RelationNames names_;
    std::vector<std::string> path_; ///< keys inside DatabasesByNames
    int depth_ = 0;
    bool in_list_ = false;
};

constexpr std::size_t buffer_bytes = 64 << 10;

} // namespace

/// The JSON library pulls its input, our input is pushed.
struct FilesMetadataReader::State {
    State(Callbacks given, std::string name) : callbacks(std::move(given)), object(std::move(name)) {
        parser.start([this](codec::PullThread&) {
            Events events(callbacks, object);
            nlohmann::json::sax_parse(CharacterIterator<State>{this}, CharacterIterator<State>{}, &events);
        });
    }

    /// There is a character at `position`, if need be after waiting for more.
    bool more() {
        if (position < buffer.size()) return true;
        buffer.clear();
        position = 0;
        buffer.commit(parser.pull(buffer.room()));
        return !buffer.empty();
    }
    char current() const { return text_of(buffer.view())[position]; }
    void advance() { ++position; }

    Callbacks callbacks;
    std::string object;
    // The parser's thread alone has these.
    Blob buffer{buffer_bytes};
    std::size_t position = 0;
    codec::PullThread parser;
};

FilesMetadataReader::FilesMetadataReader(Callbacks callbacks, std::string object)
    : state_(std::make_unique<State>(std::move(callbacks), std::move(object))) {}

FilesMetadataReader::~FilesMetadataReader() = default;

void FilesMetadataReader::write(std::string_view text) { state_->parser.push(bytes_of(text)); }

void FilesMetadataReader::finish() { state_->parser.finish(); }

} // namespace walgd::archive
