// What a linker that folds identical functions leaves of three coroutines: one code for the resume functions
// of first and second, one for all destroy functions, all names.
asm(R"(
    .macro function name
    .globl "\name"
    .type "\name", @function
"\name":
    .endm

    .text
    function _Z5firstv
    function _Z6secondv
    ret
    function _Z5thirdv
    ret
    function _Z5firstv.resume
    function _Z6secondv.resume
    nop
    ret
    function _Z5thirdv.resume
    ret
    function _Z5firstv.destroy
    function _Z6secondv.destroy
    function _Z5thirdv.destroy
    ret
)");

int main() {}
