// The sample programs of these tests, and what they print of themselves.
#pragma once

#include <catch2/catch.hpp>
#include <cstdio>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "modules/module.h"

/// "g++-12.O0" and so on: of every compiler that is here.
inline std::vector<std::string> frame_samples() {
    std::vector<std::string> labels;
    std::istringstream all(FRAME_SAMPLES);
    for (std::string label; std::getline(all, label, ',');) labels.push_back(label);
    return labels;
}

inline asyncdump::ModuleSet open_sample(const std::string& name) {
    auto modules = asyncdump::ModuleSet::of_file(SAMPLES_FOLDER + name, 0x10000, {});
    if (!modules) FAIL(modules.error().message);
    return std::move(*modules);
}

/// Runs a sample to its end: its "<what> <number>" lines.
inline std::map<std::string, std::uint32_t> run_sample(const std::string& name) {
    std::map<std::string, std::uint32_t> said;
    FILE* output = popen((SAMPLES_FOLDER + name).c_str(), "r");
    REQUIRE(output != nullptr);
    char what[64];
    unsigned number = 0;
    while (std::fscanf(output, "%63s %u", what, &number) == 2) said[what] = number;
    REQUIRE(pclose(output) == 0);
    return said;
}
