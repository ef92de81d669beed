#include "common/backup/restore/restore_state.hpp"

#include "common/backup/member_name.hpp"
#include "common/base/error.hpp"
#include "common/base/files.hpp"
#include "common/pg/crc32c.hpp"

#include <charconv>
#include <fcntl.h>
#include <fmt/format.h>
#include <optional>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace walgd::backup {

namespace {

constexpr std::string_view version = "walgd restore 1";
constexpr std::size_t state_bytes_max = std::size_t{1} << 30;

std::string boot() {
    auto text = read_text_file("/proc/sys/kernel/random/boot_id", 4096);
    while (!text.empty() && text.back() == '\n') text.pop_back();
    return text;
}

std::string first_line(const std::string& identity) { return fmt::format("{} {} {}\n", version, identity, boot()); }

/// Takes what is before `end` off the front; nothing when there is no `end`.
std::optional<std::string_view> take_until(std::string_view& text, char end) {
    const auto place = text.find(end);
    if (place == std::string_view::npos) return std::nullopt;
    const auto head = text.substr(0, place);
    text.remove_prefix(place + 1);
    return head;
}

template <class Number> bool read_number(std::optional<std::string_view> text, Number& number) {
    if (!text) return false;
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), number, 16);
    return error == std::errc() && end == text->data() + text->size();
}

std::optional<std::string> text_of_hex(std::string_view hex) {
    std::string text;
    for (; hex.size() >= 2; hex.remove_prefix(2)) {
        unsigned char byte = 0;
        if (!read_number(std::optional(hex.substr(0, 2)), byte)) return std::nullopt;
        text += static_cast<char>(byte);
    }
    return hex.empty() ? std::optional(text) : std::nullopt;
}

bool parse_link(std::string_view line, RestoreState::TarMark& mark) {
    const auto name_hex = take_until(line, ' ');
    const auto name = text_of_hex(name_hex.value_or("x")), target = text_of_hex(line);
    if (!name || !target) return false;
    mark.links.emplace_back(*name, *target);
    return true;
}

bool parse_folder(std::string_view line, RestoreState::TarMark& mark) {
    const auto name = text_of_hex(line);
    if (name) mark.folders.push_back(*name);
    return name.has_value();
}

bool parse_line(std::string_view line, RestoreState::TarMark& mark) {
    const auto kind = take_until(line, ' ');
    if (kind == "link") return parse_link(line, mark);
    if (kind == "folder") return parse_folder(line, mark);
    std::uint64_t name = 0;
    if (!kind || !read_number(take_until(line, ' '), name)) return false;
    if (*kind == "pages") {
        unsigned mode = 0;
        if (!read_number(take_until(line, ' '), mode)) return false;
        mark.pages.push_back({name, mode, std::string(line)});
        return true;
    }
    RestoreState::FileMark file{name, 0, 0};
    if (*kind != "file" || !read_number(take_until(line, ' '), file.bytes) || !read_number(std::optional(line), file.modified_ns))
        return false;
    mark.files.push_back(file);
    return true;
}

/// The next block; nothing when it is not whole.
std::optional<RestoreState::TarMark> take_mark(std::string_view& text) {
    auto rest = text;
    std::size_t bytes = 0;
    std::uint32_t crc = 0;
    if (take_until(rest, ' ') != "tar" || !read_number(take_until(rest, ' '), bytes) || !read_number(take_until(rest, '\n'), crc))
        return std::nullopt;
    if (bytes > rest.size() || pg::crc32c(bytes_of(rest.substr(0, bytes))) != crc) return std::nullopt;
    auto block = rest.substr(0, bytes);
    RestoreState::TarMark mark;
    const auto key = take_until(block, '\n');
    if (!key) return std::nullopt;
    mark.key = *key;
    while (const auto line = take_until(block, '\n'))
        if (!parse_line(*line, mark)) return std::nullopt;
    if (!block.empty()) return std::nullopt;
    text = rest.substr(bytes);
    return mark;
}

} // namespace

std::vector<RestoreState::TarMark> parse_tar_marks(std::string_view text, std::size_t& good_bytes) {
    std::vector<RestoreState::TarMark> marks;
    auto rest = text;
    while (auto mark = take_mark(rest)) marks.push_back(std::move(*mark));
    good_bytes = text.size() - rest.size();
    return marks;
}

std::string compose_tar_mark(const RestoreState::TarMark& mark) {
    auto block = mark.key + "\n";
    for (const auto& file : mark.files) block += fmt::format("file {:x} {:x} {:x}\n", file.name, file.bytes, file.modified_ns);
    for (const auto& file : mark.pages) block += fmt::format("pages {:x} {:x} {}\n", file.name, file.mode, file.pages);
    for (const auto& name : mark.folders) block += fmt::format("folder {}\n", to_hex(bytes_of(name)));
    for (const auto& [name, target] : mark.links)
        block += fmt::format("link {} {}\n", to_hex(bytes_of(name)), to_hex(bytes_of(target)));
    return fmt::format("tar {:x} {:x}\n{}", block.size(), pg::crc32c(bytes_of(block)), block);
}

std::string RestoreState::path_of(const std::string& folder) { return fmt::format("{}/{}", folder, restore_state_name); }

bool RestoreState::exists(const std::string& folder) {
    struct stat about{};
    return ::lstat(path_of(folder).c_str(), &about) == 0 && S_ISREG(about.st_mode);
}

void RestoreState::lock() {
    if (::flock(fd_.get(), LOCK_EX | LOCK_NB) == 0) return;
    if (errno != EWOULDBLOCK) throw_errno(fmt::format("cannot lock {}", path_));
    throw Error(ErrorKind::refused, fmt::format("another process restores into the folder of {}", path_),
                "wait for it, or stop it");
}

bool RestoreState::load(const std::string& identity) {
    fd_ = open_file(path_, O_RDWR | O_NOFOLLOW);
    lock();
    const auto text = read_text_file(path_, state_bytes_max);
    std::string_view rest = text;
    const auto line = take_until(rest, '\n');
    blank_ = !line;
    if (!line) return true;
    const auto head = fmt::format("{} {} ", version, identity);
    std::size_t good_bytes = 0;
    if (!line->starts_with(head)) {
        const auto marks = parse_tar_marks(rest, good_bytes);
        if (!marks.empty()) other_tar_ = marks.front().key;
        return false;
    }
    holds_ = line->substr(head.size()) == boot();
    if (!holds_) return true;
    done_ = parse_tar_marks(rest, good_bytes);
    good_bytes_ = line->size() + 1 + good_bytes;
    return true;
}

void RestoreState::start(const std::string& identity, bool anew) {
    if (!fd_) {
        fd_ = open_file(path_, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
        lock();
    }
    if (anew) {
        done_.clear();
        good_bytes_ = 0;
    }
    const auto line = first_line(identity);
    // An earlier first line differs in the boot alone. It is never cut off: a folder without one is nobody's.
    const auto keep = good_bytes_ > 0 ? good_bytes_ : line.size();
    if (::ftruncate(fd_.get(), static_cast<off_t>(keep)) != 0) throw_errno(fmt::format("cannot cut {}", path_));
    if (good_bytes_ > 0) return;
    write_all_at(fd_.get(), bytes_of(line), 0, path_);
    sync_file(fd_.get(), path_);
    sync_folder(path_.substr(0, path_.rfind('/')));
    good_bytes_ = line.size();
}

void RestoreState::add(const TarMark& mark) {
    const auto block = compose_tar_mark(mark);
    const std::lock_guard lock(mutex_);
    write_all_at(fd_.get(), bytes_of(block), good_bytes_, path_);
    good_bytes_ += block.size();
}

void RestoreState::remove() {
    if (::unlink(path_.c_str()) != 0) throw_errno(fmt::format("cannot remove {}", path_));
}

} // namespace walgd::backup
