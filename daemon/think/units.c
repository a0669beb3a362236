/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "think/units.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/*
 * Text to numbers and back, the same on every machine: no strtod, no isalpha, nothing that asks the locale.
 *
 * A number is digits, and after a point more digits; at most 18 of these count, the rest must still be
 * digits. It is kept as whole + fraction / scale and multiplied by its unit in 128 bits, so that "0.1G" is
 * exact and nothing overflows on the way; a result that doesn't fit, or would read as "none" or "never", is
 * -ERANGE. What is no number at all is -EINVAL, before any question of range or unit: the hint that a unit is
 * missing is for those who wrote a number. Results are cut, not rounded: a limit is never larger than what
 * was written.
 *
 * Units of size are taken in either case ("8g"), as docker and Slurm take them; blanks may stand between a
 * number and its unit, as the formatters write them. format_ is for people, spell_ for the parsers: what
 * spell_ writes is taken back without loss (the tests hold it to that).
 */

struct decimal {
        uint64_t whole, fraction, scale; /* whole + fraction / scale */
        bool overflow;                   /* whole doesn't fit */
};

struct unit {
        const char *name;
        uint64_t factor;
};

static const struct unit size_units[] = {
        {"B", 1},
        {"K", HR_KIB},
        {"KiB", HR_KIB},
        {"KB", 1000},
        {"M", HR_MIB},
        {"MiB", HR_MIB},
        {"MB", 1000 * 1000},
        {"G", HR_GIB},
        {"GiB", HR_GIB},
        {"GB", 1000ULL * 1000 * 1000},
        {"T", HR_GIB << 10},
        {"TiB", HR_GIB << 10},
        {"TB", 1000ULL * 1000 * 1000 * 1000},
        {"P", HR_GIB << 20},
        {"PiB", HR_GIB << 20},
        {"PB", 1000ULL * 1000 * 1000 * 1000 * 1000},
        {"E", HR_GIB << 30},
        {"EiB", HR_GIB << 30},
        {"EB", 1000ULL * 1000 * 1000 * 1000 * 1000 * 1000},
};

#define USEC_PER_MIN (60 * HR_USEC_PER_SEC)
#define USEC_PER_HOUR (60 * USEC_PER_MIN)
#define USEC_PER_DAY (24 * USEC_PER_HOUR)

static const struct unit time_units[] = {
        {"us", 1},
        {"usec", 1},
        {"ms", HR_USEC_PER_MSEC},
        {"msec", HR_USEC_PER_MSEC},
        {"s", HR_USEC_PER_SEC},
        {"sec", HR_USEC_PER_SEC},
        {"m", USEC_PER_MIN},
        {"min", USEC_PER_MIN},
        {"h", USEC_PER_HOUR},
        {"d", USEC_PER_DAY},
        {"w", 7 * USEC_PER_DAY},
};

static bool is_digit(char c)
{
        return c >= '0' && c <= '9';
}

static char lower(char c)
{
        return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool is_letter(char c)
{
        c = lower(c);
        return c >= 'a' && c <= 'z';
}

static const char *skip_blanks(const char *p)
{
        while (*p == ' ' || *p == '\t')
                p++;
        return p;
}

/* Equal without regard to the case of ASCII letters; b has `size` bytes. */
static bool equal_anycase(const char *a, const char *b, size_t size)
{
        for (size_t i = 0; i < size; i++)
                if (a[i] == '\0' || lower(a[i]) != lower(b[i]))
                        return false;
        return a[size] == '\0';
}

/* Returns where the number ends, or NULL where none begins. */
static const char *take_decimal(const char *p, struct decimal *ret)
{
        struct decimal d = {.scale = 1};

        if (!is_digit(*p))
                return NULL;
        for (; is_digit(*p); p++)
                if (__builtin_mul_overflow(d.whole, 10, &d.whole) ||
                        __builtin_add_overflow(d.whole, (uint64_t)(*p - '0'), &d.whole))
                        d.overflow = true;
        if (*p == '.') {
                if (!is_digit(*++p))
                        return NULL;
                for (; is_digit(*p); p++)
                        if (d.scale < 1000000000000000000ULL) {
                                d.fraction = d.fraction * 10 + (uint64_t)(*p - '0');
                                d.scale *= 10;
                        }
        }
        *ret = d;
        return p;
}

/* d * factor / divisor, cut. False where that doesn't fit below UINT64_MAX, which means "none". */
static bool scale_decimal(const struct decimal *d, uint64_t factor, unsigned divisor, uint64_t *ret)
{
        unsigned __int128 v = (unsigned __int128)d->whole * factor;

        v += (unsigned __int128)d->fraction * factor / d->scale;
        v /= divisor;
        if (d->overflow || v >= UINT64_MAX)
                return false;
        *ret = (uint64_t)v;
        return true;
}

/* The unit's letters begin at *p; moves *p past them. NULL: no such unit. */
static const struct unit *take_unit(const char **p, const struct unit *units, size_t count, bool anycase)
{
        const char *begin = *p;
        size_t size = 0;

        while (is_letter(begin[size]))
                size++;
        *p = begin + size;
        for (size_t i = 0; i < count; i++)
                if (anycase ? equal_anycase(units[i].name, begin, size)
                            : strlen(units[i].name) == size && memcmp(units[i].name, begin, size) == 0)
                        return &units[i];
        return NULL;
}

static bool is_zero(const struct decimal *d)
{
        return d->whole == 0 && d->fraction == 0 && !d->overflow;
}

int hr_units_parse_size(const char *text, uint64_t host_total_bytes, uint64_t *ret_bytes)
{
        struct decimal d;

        if (strcmp(text, "max") == 0) {
                *ret_bytes = HR_BYTES_NONE;
                return 0;
        }
        const char *p = take_decimal(text, &d);
        if (!p)
                return -EINVAL;
        if (*p == '\0') {
                if (!is_zero(&d))
                        return -EUCLEAN;
                *ret_bytes = 0;
                return 0;
        }

        uint64_t bytes;
        p = skip_blanks(p);
        if (strcmp(p, "%") == 0) {
                if (host_total_bytes == 0)
                        return -ENODATA;
                if (!scale_decimal(&d, host_total_bytes, 100, &bytes) || bytes > host_total_bytes)
                        return -ERANGE;
                *ret_bytes = bytes;
                return 0;
        }
        const struct unit *unit = take_unit(&p, size_units, ELEMENTSOF(size_units), true);
        if (!unit || *p != '\0' || (unit->factor == 1 && d.fraction != 0))
                return -EINVAL;
        if (!scale_decimal(&d, unit->factor, 1, &bytes))
                return -ERANGE;
        *ret_bytes = bytes;
        return 0;
}

int hr_units_parse_level(const char *text, uint32_t *ret_permyriad)
{
        struct decimal d;
        uint64_t permyriad;

        if (strcmp(text, "off") == 0) {
                *ret_permyriad = HR_PERMYRIAD_OFF;
                return 0;
        }
        const char *p = take_decimal(text, &d);
        if (!p)
                return -EINVAL;
        if (*p == '\0')
                return -EUCLEAN;
        if (strcmp(skip_blanks(p), "%") != 0)
                return -EINVAL;
        if (!scale_decimal(&d, 100, 1, &permyriad) || permyriad > HR_PERMYRIAD_ALL ||
                (d.whole == 100 && d.fraction != 0)) /* 100.001 % is cut to 100, but is more */
                return -ERANGE;
        *ret_permyriad = (uint32_t)permyriad;
        return 0;
}

int hr_units_parse_time(const char *text, uint64_t *ret_usec)
{
        uint64_t sum = 0;
        const char *p = text;
        int r = 0;

        if (strcmp(text, "never") == 0) {
                *ret_usec = HR_USEC_NEVER;
                return 0;
        }
        do {
                struct decimal d;
                uint64_t usec;

                bool first = p == text;
                p = take_decimal(p, &d);
                if (!p)
                        return -EINVAL;
                if (*p == '\0') {
                        if (!first || !is_zero(&d))
                                return -EUCLEAN;
                        break;
                }
                p = skip_blanks(p);
                const struct unit *unit = take_unit(&p, time_units, ELEMENTSOF(time_units), false);
                if (!unit)
                        return -EINVAL;
                if (!scale_decimal(&d, unit->factor, 1, &usec) || __builtin_add_overflow(sum, usec, &sum) ||
                        sum == HR_USEC_NEVER)
                        r = -ERANGE; /* told only once the rest is known to be a time */
                if (*p != '\0')
                        p = skip_blanks(p);
                else
                        break;
        } while (true);
        if (r < 0)
                return r;
        *ret_usec = sum;
        return 0;
}

int hr_units_parse_bool(const char *text, bool *ret)
{
        static const struct {
                const char *word;
                bool value;
        } words[] = {
                {"yes", true},
                {"no", false},
                {"true", true},
                {"false", false},
                {"on", true},
                {"off", false},
                {"1", true},
                {"0", false},
        };

        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                if (strcmp(words[i].word, text) == 0) {
                        *ret = words[i].value;
                        return 0;
                }
        return -EINVAL;
}

static const char *const binary_names[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};

char *hr_units_format_bytes(char *buf, uint64_t bytes)
{
        if (bytes == HR_BYTES_NONE) {
                memcpy(buf, "max", sizeof("max"));
                return buf;
        }
        size_t i = 0;
        uint64_t unit = 1;
        while (i + 1 < ELEMENTSOF(binary_names) && bytes / unit >= 1024) {
                unit *= 1024;
                i++;
        }
        uint64_t whole = bytes / unit, rest = bytes % unit;
        if (rest == 0) {
                snprintf(buf, HR_TEXT_SIZE_MAX, "%llu %s", (unsigned long long)whole, binary_names[i]);
                return buf;
        }
        uint64_t tenths = (rest * 10 + unit / 2) / unit; /* rest < 2^60: no overflow */
        if (tenths == 10) {
                tenths = 0;
                whole++;
        }
        if (whole == 1024 && i + 1 < ELEMENTSOF(binary_names)) { /* 1023.96 MiB is "1.0 GiB" */
                whole = 1;
                i++;
        }
        snprintf(buf, HR_TEXT_SIZE_MAX, "%llu.%u %s", (unsigned long long)whole, (unsigned)tenths % 10,
                binary_names[i]);
        return buf;
}

char *hr_units_format_time(char *buf, uint64_t usec)
{
        static const struct {
                uint64_t from, unit, part; /* part: the next smaller unit, 0: none is shown */
                const char *unit_name, *part_name;
        } rows[] = {
                {USEC_PER_DAY, USEC_PER_DAY, USEC_PER_HOUR, "d", "h"},
                {USEC_PER_HOUR, USEC_PER_HOUR, USEC_PER_MIN, "h", "min"},
                {USEC_PER_MIN, USEC_PER_MIN, HR_USEC_PER_SEC, "min", "s"},
                {10 * HR_USEC_PER_SEC, HR_USEC_PER_SEC, 0, "s", ""},
                {HR_USEC_PER_MSEC, HR_USEC_PER_MSEC, 0, "ms", ""},
                {1, 1, 0, "us", ""},
        };

        if (usec == HR_USEC_NEVER) {
                memcpy(buf, "never", sizeof("never"));
                return buf;
        }
        if (usec >= HR_USEC_PER_SEC && usec < 10 * HR_USEC_PER_SEC) { /* "1.5 s", "2 s" */
                unsigned tenths = (unsigned)(usec / (HR_USEC_PER_SEC / 10));
                if (tenths % 10)
                        snprintf(buf, HR_TEXT_SIZE_MAX, "%u.%u s", tenths / 10, tenths % 10);
                else
                        snprintf(buf, HR_TEXT_SIZE_MAX, "%u s", tenths / 10);
                return buf;
        }
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                if (usec < rows[i].from)
                        continue;
                unsigned long long whole = usec / rows[i].unit;
                unsigned part = rows[i].part ? (unsigned)(usec % rows[i].unit / rows[i].part) % 60 : 0;
                if (part)
                        snprintf(buf, HR_TEXT_SIZE_MAX, "%llu %s %u %s", whole, rows[i].unit_name, part,
                                rows[i].part_name);
                else
                        snprintf(buf, HR_TEXT_SIZE_MAX, "%llu %s", whole, rows[i].unit_name);
                return buf;
        }
        memcpy(buf, "0 s", sizeof("0 s"));
        return buf;
}

/* To the steps that people count in, so that an estimate does not look like a measurement. Chosen, not tuned.
 */
static uint64_t round_as_said(uint64_t usec)
{
        static const struct {
                uint64_t below, step;
        } rows[] = {
                {10 * HR_USEC_PER_SEC, HR_USEC_PER_SEC},
                {USEC_PER_MIN, 5 * HR_USEC_PER_SEC},
                {3 * USEC_PER_MIN, USEC_PER_MIN / 2},
                {10 * USEC_PER_MIN, USEC_PER_MIN},
                {USEC_PER_HOUR, 5 * USEC_PER_MIN},
                {3 * USEC_PER_HOUR, USEC_PER_HOUR / 2},
                {USEC_PER_DAY, USEC_PER_HOUR},
        };
        uint64_t step = USEC_PER_DAY;

        for (size_t i = ELEMENTSOF(rows); i-- > 0;)
                if (usec < rows[i].below)
                        step = rows[i].step;
        return (usec / step + (usec % step >= step / 2)) * step; /* no overflow: 2^64 - 1 is rounded down */
}

char *hr_units_format_estimate(char *buf, uint64_t least_usec, uint64_t most_usec)
{
        char least[HR_TEXT_SIZE_MAX], most[HR_TEXT_SIZE_MAX], *unit;

        if (least_usec == HR_USEC_NEVER) {
                memcpy(buf, "never", sizeof("never"));
                return buf;
        }
        if (most_usec < HR_USEC_PER_SEC || (most_usec == HR_USEC_NEVER && least_usec < HR_USEC_PER_SEC)) {
                memcpy(buf, "less than a second", sizeof("less than a second"));
                return buf;
        }
        hr_units_format_time(least, round_as_said(least_usec));
        if (most_usec == HR_USEC_NEVER) {
                snprintf(buf, HR_TEXT_SIZE_MAX, "%s or more", least);
                return buf;
        }
        hr_units_format_time(most, round_as_said(MAX(most_usec, least_usec)));
        if (least_usec < HR_USEC_PER_SEC) {
                snprintf(buf, HR_TEXT_SIZE_MAX, "up to %s", most);
                return buf;
        }
        if (strcmp(least, most) == 0) {
                snprintf(buf, HR_TEXT_SIZE_MAX, "about %s", most);
                return buf;
        }
        unit = strchr(least, ' '); /* "1 min" to "3 min": said once */
        if (unit && !strchr(unit + 1, ' ') && strcmp(unit, most + strcspn(most, " ")) == 0)
                *unit = '\0';
        snprintf(buf, HR_TEXT_SIZE_MAX, "%s to %s", least, most);
        return buf;
}

char *hr_units_format_level(char *buf, uint32_t permyriad)
{
        if (permyriad == HR_PERMYRIAD_OFF)
                memcpy(buf, "off", sizeof("off"));
        else /* cut: 99.99 % is not yet 100 % */
                snprintf(buf, HR_TEXT_SIZE_MAX, "%u.%u %%", permyriad / 100, permyriad % 100 / 10);
        return buf;
}

/* The largest unit that divides the value, so that nothing is lost. */
static char *spell(char *buf, uint64_t value, const struct unit *units, size_t count)
{
        size_t best = 0;

        if (value == 0) {
                memcpy(buf, "0", sizeof("0"));
                return buf;
        }
        for (size_t i = 0; i < count; i++)
                if (value % units[i].factor == 0)
                        best = i;
        snprintf(buf, HR_TEXT_SIZE_MAX, "%llu%s", (unsigned long long)(value / units[best].factor),
                units[best].name);
        return buf;
}

char *hr_units_spell_bytes(char *buf, uint64_t bytes)
{
        static const struct unit units[] = {
                {"B", 1},
                {"K", HR_KIB},
                {"M", HR_MIB},
                {"G", HR_GIB},
                {"T", HR_GIB << 10},
                {"P", HR_GIB << 20},
                {"E", HR_GIB << 30},
        };

        if (bytes == HR_BYTES_NONE) {
                memcpy(buf, "max", sizeof("max"));
                return buf;
        }
        return spell(buf, bytes, units, ELEMENTSOF(units));
}

char *hr_units_spell_time(char *buf, uint64_t usec)
{
        static const struct unit units[] = {
                {"us", 1},
                {"ms", HR_USEC_PER_MSEC},
                {"s", HR_USEC_PER_SEC},
                {"min", USEC_PER_MIN},
                {"h", USEC_PER_HOUR},
                {"d", USEC_PER_DAY},
        };

        if (usec == HR_USEC_NEVER) {
                memcpy(buf, "never", sizeof("never"));
                return buf;
        }
        return spell(buf, usec, units, ELEMENTSOF(units));
}

char *hr_units_spell_level(char *buf, uint32_t permyriad)
{
        if (permyriad == HR_PERMYRIAD_OFF)
                memcpy(buf, "off", sizeof("off"));
        else if (permyriad % 100 == 0)
                snprintf(buf, HR_TEXT_SIZE_MAX, "%u%%", permyriad / 100);
        else if (permyriad % 10 == 0)
                snprintf(buf, HR_TEXT_SIZE_MAX, "%u.%u%%", permyriad / 100, permyriad % 100 / 10);
        else
                snprintf(buf, HR_TEXT_SIZE_MAX, "%u.%02u%%", permyriad / 100, permyriad % 100);
        return buf;
}

bool hr_units_is_job_id(const char *text)
{
        if (text[0] != 'j' || !is_digit(text[1]))
                return false;
        for (text++; is_digit(*text); text++)
                ;
        return *text == '\0';
}

int hr_units_check_name(const char *text)
{
        if (!is_letter(text[0]) || hr_units_is_job_id(text))
                return -EINVAL;
        for (size_t i = 1; text[i]; i++)
                if (i + 1 >= HR_NAME_MAX ||
                        !(is_letter(text[i]) || is_digit(text[i]) || strchr("._-@", text[i])))
                        return -EINVAL;
        return 0;
}

/*
 * One UTF-8 character as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF. Returns
 * its size, or 0 where none stands at p. p ends with a NUL, which ends every loop here before it runs over.
 */
static size_t take_utf8(const char *p, uint32_t *ret)
{
        static const struct {
                unsigned char mask, lead;
                uint32_t least;
        } forms[] = {
                {0x80, 0x00, 0},
                {0xE0, 0xC0, 0x80},
                {0xF0, 0xE0, 0x800},
                {0xF8, 0xF0, 0x10000},
        };
        unsigned char first = (unsigned char)p[0];

        for (size_t form = 0; form < ELEMENTSOF(forms); form++) {
                if ((first & forms[form].mask) != forms[form].lead)
                        continue;
                uint32_t c = first & (unsigned char)~forms[form].mask;
                for (size_t i = 1; i <= form; i++) {
                        unsigned char next = (unsigned char)p[i];
                        if ((next & 0xC0) != 0x80)
                                return 0;
                        c = c << 6 | (next & 0x3F);
                }
                if (c < forms[form].least || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
                        return 0;
                *ret = c;
                return form + 1;
        }
        return 0;
}

/* Also the C1 controls, which some terminals obey, and the marks that turn or break a line of text. */
static bool is_harmful(uint32_t c)
{
        return c < 0x20 || (c >= 0x7F && c <= 0x9F) || c == '\\' || c == 0x200E || c == 0x200F ||
               (c >= 0x2028 && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
}

char *hr_units_escape(char *buf, size_t size, const char *text)
{
        static const char hex[] = "0123456789abcdef";
        size_t used = 0;

        if (size == 0)
                return buf;
        while (*text) {
                uint32_t c = 0;
                size_t n = take_utf8(text, &c);
                bool escape = n == 0 || is_harmful(c);
                if (n == 0)
                        n = 1;
                if ((escape ? 4 * n : n) >= size - used)
                        break;
                for (size_t i = 0; i < n; i++) {
                        unsigned char byte = (unsigned char)text[i];
                        if (escape) {
                                buf[used++] = '\\';
                                buf[used++] = 'x';
                                buf[used++] = hex[byte >> 4];
                                buf[used++] = hex[byte & 15];
                        } else
                                buf[used++] = (char)byte;
                }
                text += n;
        }
        buf[used] = '\0';
        return buf;
}

static const struct {
        const char *name;
        int number;
} signals[] = {
        {"HUP", SIGHUP},
        {"INT", SIGINT},
        {"QUIT", SIGQUIT},
        {"ILL", SIGILL},
        {"TRAP", SIGTRAP},
        {"ABRT", SIGABRT},
        {"IOT", SIGABRT},
        {"BUS", SIGBUS},
        {"FPE", SIGFPE},
        {"KILL", SIGKILL},
        {"USR1", SIGUSR1},
        {"SEGV", SIGSEGV},
        {"USR2", SIGUSR2},
        {"PIPE", SIGPIPE},
        {"ALRM", SIGALRM},
        {"TERM", SIGTERM},
#ifdef SIGSTKFLT
        {"STKFLT", SIGSTKFLT},
#endif
        {"CHLD", SIGCHLD},
        {"CLD", SIGCHLD},
        {"CONT", SIGCONT},
        {"STOP", SIGSTOP},
        {"TSTP", SIGTSTP},
        {"TTIN", SIGTTIN},
        {"TTOU", SIGTTOU},
        {"URG", SIGURG},
        {"XCPU", SIGXCPU},
        {"XFSZ", SIGXFSZ},
        {"VTALRM", SIGVTALRM},
        {"PROF", SIGPROF},
        {"WINCH", SIGWINCH},
        {"IO", SIGIO},
        {"POLL", SIGIO},
        {"PWR", SIGPWR},
        {"SYS", SIGSYS},
};

/* "RTMIN", "RTMIN+3", "RTMAX", "RTMAX-1": one or two digits, within the range of the C library. */
static int realtime_signal(const char *name)
{
        int base, sign;

        if (strncmp(name, "RTMIN", 5) == 0) {
                base = SIGRTMIN;
                sign = 1;
        } else if (strncmp(name, "RTMAX", 5) == 0) {
                base = SIGRTMAX;
                sign = -1;
        } else
                return -EINVAL;

        name += 5;
        if (*name == '\0')
                return base;
        if (*name != (sign > 0 ? '+' : '-') || !is_digit(name[1]))
                return -EINVAL;
        int offset = name[1] - '0';
        if (is_digit(name[2]))
                offset = offset * 10 + (name[2] - '0');
        if (name[is_digit(name[2]) ? 3 : 2] != '\0')
                return -EINVAL;
        int number = base + sign * offset;
        return number >= SIGRTMIN && number <= SIGRTMAX ? number : -EINVAL;
}

static int hex(char c)
{
        return c >= '0' && c <= '9'   ? c - '0'
               : c >= 'a' && c <= 'f' ? c - 'a' + 10
               : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                      : -1;
}

void hr_units_vformat_text(char *buf, size_t size, const char *format, va_list ap)
{
        static const char ellipsis[] = "…";
        int wanted = vsnprintf(buf, size, format, ap);

        if (wanted >= 0 && (size_t)wanted < size)
                return;
        if (wanted < 0 || size < sizeof(ellipsis)) {
                if (size > 0)
                        buf[0] = '\0';
                return;
        }
        size_t end = size - sizeof(ellipsis);
        while (end > 0 && ((unsigned char)buf[end] & 0xc0) == 0x80) /* within a character */
                end--;
        size_t word = end;
        while (word > 0 && buf[word] != ' ')
                word--;
        if (word > size / 2) /* else it is one long word, a path */
                end = word;
        while (end > 0 && buf[end - 1] == ' ')
                end--;
        memcpy(buf + end, ellipsis, sizeof(ellipsis));
}

int hr_units_unescape(char *buf, size_t size, const char *text)
{
        size_t n = 0;
        while (*text) {
                if (n + 1 >= size)
                        return -ENAMETOOLONG;
                if (*text == '\\') {
                        if (text[1] != 'x' || hex(text[2]) < 0 || hex(text[3]) < 0)
                                return -EBADMSG;
                        buf[n++] = (char)(hex(text[2]) * 16 + hex(text[3]));
                        text += 4;
                } else {
                        buf[n++] = *text++;
                }
        }
        buf[n] = '\0';
        return 0;
}

int hr_units_signal_from_name(const char *name)
{
        if (strncmp(name, "SIG", 3) == 0)
                name += 3;
        for (size_t i = 0; i < ELEMENTSOF(signals); i++)
                if (strcmp(signals[i].name, name) == 0)
                        return signals[i].number;
        return realtime_signal(name);
}
