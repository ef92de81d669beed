#include "client/walg/verb.hpp"
#include "client/walg/words.hpp"
#include "config/settings.hpp"

#include <fmt/format.h>
#include <iostream>

namespace walgd::cli {

namespace {

/// Text as roff takes it: nothing in it is a request or an escape.
std::string roff(std::string_view text) {
    std::string out;
    for (const char letter : text) {
        if (letter == '\\')
            out += "\\e";
        else if (letter == '-')
            out += "\\-";
        else
            out += letter;
    }
    return out.starts_with('.') || out.starts_with('\'') ? "\\&" + out : out;
}

std::string head(std::string_view name, int section, std::string_view what) {
    return fmt::format(".TH {0} {1} \"\" \"walgd {2}\"\n.SH NAME\n{3} \\- {4}\n", name, section, WALGD_VERSION, roff(name),
                       roff(what));
}

std::string settings_section() {
    std::string text = ".SH SETTINGS\nFrom the command line, then systemd's credentials, then the environment, then the file "
                       "(/etc/walgd/walgd.yaml), then the default.\n";
    for (const auto& setting : config::settings_table()) {
        text += fmt::format(".TP\n.BR {} \" ({})\"\n{}.", roff(setting.name), roff(setting.walg_name), roff(setting.help));
        if (!setting.default_value.empty()) text += fmt::format(" Default: {}.", roff(setting.default_value));
        text += "\n";
    }
    return text;
}

std::string options_text(const CLI::App& command) {
    std::string text;
    for (const auto* option : options_of(command)) {
        text += fmt::format(".RS\n.TP\n.B {}\n{}\n.RE\n", roff(option->get_name(false, true)), roff(option->get_description()));
    }
    return text;
}

/// `words`: of the commands above.
std::string commands_text(const CLI::App& app, const std::string& words) {
    std::string text;
    for (const auto* command : commands_of(app)) {
        if (command->get_group().empty()) continue;
        const auto name = words + command->get_name();
        text += fmt::format(".TP\n.B {}\n{}\n", roff(name), roff(command->get_description())) + options_text(*command) +
                commands_text(*command, name + " ");
    }
    return text;
}

constexpr std::string_view walgd_text = R"(.SH SYNOPSIS
.B walgd
[\fB\-\-config\fR FILE] [\fB\-\-check\fR] [\fB\-\-version\fR]
.SH DESCRIPTION
Keeps a PostgreSQL cluster's WAL and base backups in object storage, in WAL\-G's layout. It takes WAL over a Unix socket from
\fBwalg\-push\fR(1), gives it back to \fBwalg\-fetch\fR(1), takes base backups that \fBwalg\fR(1) or its schedule asks for, and tells how it does
by \fBwalg status\fR and HTTP.
.SH SIGNALS
.TP
.B SIGTERM, SIGINT
Takes WAL until PostgreSQL has ended, or drain_timeout is over; a second one ends it at once.
.TP
.B SIGHUP
Reads the settings again; what needs a restart is named in the log.
.TP
.B SIGUSR1
Opens the log file anew.
.SH EXIT STATUS
0, or 1 after an error that is on standard error with what to do next.
)";

/// A shim's page: all of it is text.
struct ShimPage {
    std::string_view name, what, text;
};
constexpr ShimPage shim_pages[] = {
    {"walg-push", "archive_command of walgd", R"(.SH SYNOPSIS
archive_command = 'walg\-push "%p"'
.SH DESCRIPTION
Hands the open file to \fBwalgd\fR(8) at WALGD_SOCKET and waits until the storage has confirmed it.
.SH EXIT STATUS
0: stored. 1: not stored, PostgreSQL tries again; the reason is on standard error.
)"},
    {"walg-fetch", "restore_command of walgd", R"(.SH SYNOPSIS
restore_command = 'walg\-fetch "%f" "%p"'
.SH DESCRIPTION
Gets a WAL file by \fBwalgd\fR(8), or without a daemon by \fBwalg wal\-fetch\fR.
.SH EXIT STATUS
0: there. 1: the storage answered that it is not there. 200: anything else: PostgreSQL stops instead of promoting.
)"},
    {"walg-daemon-client", "client of WAL-G's daemon protocol", R"(.SH SYNOPSIS
archive_command = 'walg\-daemon\-client SOCKET wal\-push %f'
.br
restore_command = 'walg\-daemon\-client SOCKET wal\-fetch %f %p'
.SH DESCRIPTION
Asks a daemon that speaks WAL\-G's protocol: \fBwalgd\fR(8) does at WALGD_WALG_SOCKET. It is the daemon that opens the files, in
its data directory.
.SH OPTIONS
.TP
.B \-timeout DURATION
How long the answer may take: 60s if not given.
.TP
.B \-connection\-timeout DURATION
How long connecting may take: 5s if not given; 0 is for ever.
.SH EXIT STATUS
0: done. 74: the archive has no such file. 1: anything else. PostgreSQL takes 1 for "there is none" and ends recovery, also in an
outage: \fBwalg\-fetch\fR(1) makes it stop.
)"},
};

/// For packages: the manual pages, made of the tables that the programs themselves go by.
class Man : public Verb {
public:
    std::string name() const override { return "man"; }
    std::string help() const override { return "Print a manual page, of walgd (8), walg or one of the shims (1)"; }
    void options(CLI::App& command) override {
        app_ = command.get_parent();
        command.group("");
        std::vector<std::string> pages{"walgd.8", "walg.1"};
        for (const auto& page : shim_pages) pages.push_back(fmt::format("{}.1", page.name));
        command.add_option("page", page_)->required()->check(CLI::IsMember(pages));
    }
    bool needs_settings() const override { return false; }
    bool in_walg() const override { return false; }
    int run(Context&) override { return 0; }
    int tell() override {
        if (page_ == "walgd.8")
            std::cout << head("walgd", 8, "PostgreSQL WAL archiving and base backups to object storage") << walgd_text
                      << settings_section();
        else if (page_ == "walg.1")
            std::cout << head("walg", 1, "the operator's command line of walgd") << ".SH SYNOPSIS\n.B walg\nCOMMAND [OPTION...]\n"
                      << ".SH COMMANDS\n"
                      << commands_text(*app_, "") << settings_section();
        for (const auto& page : shim_pages) {
            if (page_ == fmt::format("{}.1", page.name)) std::cout << head(page.name, 1, page.what) << page.text;
        }
        return 0;
    }

private:
    const CLI::App* app_ = nullptr;
    std::string page_;
};

} // namespace

std::unique_ptr<Verb> make_man() { return std::make_unique<Man>(); }

} // namespace walgd::cli
