// The yardstick: the same JSON lines by a small C program on libsystemd.   cc -O2 yardstick.c -o yardstick -lsystemd
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-journal.h>

static char buffer[1 << 20];

static void escaped(const unsigned char *bytes, size_t length) {
  for (size_t i = 0; i < length; i++) {
    unsigned char c = bytes[i];
    if (c == '"' || c == '\\') {
      putchar_unlocked('\\');
      putchar_unlocked(c);
    } else if (c < 32) {
      printf("\\u%04x", c);
    } else {
      putchar_unlocked(c);
    }
  }
}

int main(int argc, char **argv) {
  sd_journal *journal;
  if (argc != 2 || sd_journal_open_directory(&journal, argv[1], 0) < 0) return 1;
  setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
  sd_journal_set_data_threshold(journal, 0);
  SD_JOURNAL_FOREACH(journal) {
    char *cursor;
    uint64_t realtime, monotonic;
    sd_id128_t boot;
    sd_journal_get_cursor(journal, &cursor);
    sd_journal_get_realtime_usec(journal, &realtime);
    sd_journal_get_monotonic_usec(journal, &monotonic, &boot);
    printf("{\"__CURSOR\":\"%s\",\"__REALTIME_TIMESTAMP\":\"%llu\",\"__MONOTONIC_TIMESTAMP\":\"%llu\"", cursor,
           (unsigned long long)realtime, (unsigned long long)monotonic);
    free(cursor);
    const void *data;
    size_t length;
    SD_JOURNAL_FOREACH_DATA(journal, data, length) {
      const char *equals = memchr(data, '=', length);
      size_t name = equals - (const char *)data;
      fputs(",\"", stdout);
      fwrite(data, 1, name, stdout);
      fputs("\":\"", stdout);
      escaped((const unsigned char *)equals + 1, length - name - 1);
      putchar_unlocked('"');
    }
    fputs("}\n", stdout);
  }
  return 0;
}
