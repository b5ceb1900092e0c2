/* The lesson's consumer as a C program for Windows: the twin of examples/win32/consumer.py. */

#include <stdio.h>
#include <windows.h>

enum { SLOTS = 10 };

int main(void)
{
    HANDLE mutex = CreateMutexW(NULL, FALSE, L"lesson.mutex");
    HANDLE to_write = CreateSemaphoreW(NULL, SLOTS, SLOTS, L"lesson.write");
    HANDLE to_read = CreateSemaphoreW(NULL, 0, SLOTS, L"lesson.read");
    HANDLE mapping = CreateFileMappingW(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, SLOTS * sizeof(unsigned int),
                                        L"lesson.numbers");
    volatile unsigned int *numbers = MapViewOfFile(mapping, FILE_MAP_READ, 0, 0, SLOTS * sizeof(unsigned int));
    unsigned int number = 1;

    if (!mutex || !to_write || !to_read || !numbers) {
        fprintf(stderr, "a call failed with error %lu\n", GetLastError());
        return 1;
    }
    for (unsigned int place = 0; number != 0; place++) {
        WaitForSingleObject(to_read, INFINITE);
        if (WaitForSingleObject(mutex, INFINITE) == WAIT_ABANDONED)
            fprintf(stderr, "the other program died with the mutex in hand\n");
        number = numbers[place % SLOTS];
        ReleaseMutex(mutex);
        ReleaseSemaphore(to_write, 1, NULL);
        printf("%u\n", number);
        fflush(stdout);
        Sleep(number);
    }
    return 0;
}
