/* The lesson's producer as a C program for Windows: the twin of examples/win32/producer.py. */

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
    volatile unsigned int *numbers = MapViewOfFile(mapping, FILE_MAP_WRITE, 0, 0, SLOTS * sizeof(unsigned int));
    unsigned int number = 1;

    if (!mutex || !to_write || !to_read || !numbers) {
        fprintf(stderr, "a call failed with error %lu\n", GetLastError());
        return 1;
    }
    for (unsigned int place = 0; number != 0 && scanf("%u", &number) == 1; place++) {
        WaitForSingleObject(to_write, INFINITE);
        WaitForSingleObject(mutex, INFINITE);
        numbers[place % SLOTS] = number;
        ReleaseMutex(mutex);
        ReleaseSemaphore(to_read, 1, NULL);
    }
    for (int i = 0; i < SLOTS; i++) /* the objects go with their last handle */
        WaitForSingleObject(to_write, INFINITE);
    ReleaseSemaphore(to_write, SLOTS, NULL);
    return number == 0 ? 0 : 1;
}
