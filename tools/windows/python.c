/* python.exe: all of Python is in the DLL; this hands it the command line. */
#include <stdio.h>
#include <windows.h>

int wmain(int argc, wchar_t **argv)
{
    HMODULE python = LoadLibraryW(DLL);
    if (!python) {
        fprintf(stderr, "cannot load %ls: error %lu\n", DLL, GetLastError());
        return 111;
    }
    int (*run)(int, wchar_t **) = (int (*)(int, wchar_t **))(void *)GetProcAddress(python, "Py_Main");
    return run(argc, argv);
}
