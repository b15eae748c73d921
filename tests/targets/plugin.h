// Between plugin_host and its plugin: the one function that the host looks up.
#pragma once

extern "C" {
/// Starts the plugin's coroutines. They stay suspended for ever.
using StartPlugin = void (*)();
}
