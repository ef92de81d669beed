#include "config/doctor.hpp"
#include "client/walg/verb.hpp"
#include "common/archive/json_text.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <iostream>

namespace walgd::cli {

namespace {

class Doctor : public Verb {
public:
    std::string name() const override { return "doctor"; }
    std::string help() const override { return "What is not as it should be, by weight, each with what to do"; }
    void options(CLI::App& command) override { command.add_flag("--json", json_, "As JSON"); }

    int run(Context& context) override {
        const auto findings = config::examine(context.settings, context.archive(), context.stop);
        if (json_)
            print_json(findings);
        else
            print(findings);
        const bool broken = std::ranges::any_of(findings, [](const auto& one) { return one.weight == config::Weight::broken; });
        return broken ? 1 : 0;
    }

private:
    static void print(const std::vector<config::Finding>& findings) {
        for (const auto& [weight, what, text, todo] : findings) {
            std::cout << fmt::format("{:<8} {}: {}\n", name_of(weight), what, text);
            if (!todo.empty()) std::cout << fmt::format("{:<8} do: {}\n", "", todo);
        }
        if (findings.empty()) std::cout << "all is as it should be\n";
    }
    static void print_json(const std::vector<config::Finding>& findings) {
        std::string list;
        for (const auto& [weight, what, text, todo] : findings)
            list += fmt::format(R"({}{{"weight":"{}","what":{},"text":{},"do":{}}})", list.empty() ? "" : ",", name_of(weight),
                                archive::json_string(what), archive::json_string(text), archive::json_string(todo));
        std::cout << "[" << list << "]\n";
    }

    bool json_ = false;
};

} // namespace

std::unique_ptr<Verb> make_doctor() { return std::make_unique<Doctor>(); }

} // namespace walgd::cli
