"""Names that are taken in C: by the language and by its library."""

from __future__ import annotations

__all__ = ["LIBRARY", "RESERVED"]

_RESERVED = """
alignas alignof and and_eq asm auto bitand bitor bool break case catch char class compl complex
const constexpr continue decltype default delete do double else enum errno explicit export extern
false float for friend goto I if INFINITY inline int int16_t int32_t int64_t int8_t linux long main
mutable NAN namespace new noexcept not not_eq NULL nullptr operator or or_eq private protected
public register restrict return short signed size_t sizeof static static_assert stderr stdin stdout
struct switch template this throw true try typedef typeid typename uint16_t uint32_t uint64_t
uint8_t union unix unsigned using virtual void volatile wchar_t while workspace xor xor_eq
"""
_LIBRARY = """
abort abs acos acosh aligned_alloc alloca asctime asin asinh atan atan2 atanh atexit atof atoi
atol bsearch calloc cbrt ceil clearerr clock copysign cos cosh ctime difftime div dprintf drem erf
erfc exit exp exp10 exp2 expm1 fabs fclose fdim fdopen feof ferror fflush fgetc fgets fileno
finite floor fma fmax fmin fmod fopen fprintf fputc fputs fread free freopen frexp fscanf fseek
ftell fwrite gamma getc getchar getdelim getenv getline gets gmtime hypot ilogb isalnum isalpha
isdigit islower isspace isupper j0 j1 jn labs ldexp ldiv lgamma localtime log log10 log1p log2
logb longjmp lrint lround malloc memchr memcmp memcpy memmove memset mkstemp mktemp mktime modf
nan nearbyint nextafter pclose perror popen pow printf putc putchar putenv puts qsort raise rand
random realloc realpath remainder remove remquo rename rewind rint round scalb scalbn scanf select
setbuf setenv setjmp setlocale setstate setvbuf signal significand sin sinh snprintf sprintf sqrt
srand srandom sscanf strcat strchr strcmp strcpy strlen strncmp strncpy strstr strtod strtok
strtol system tan tanh tempnam tgamma time tmpfile tolower toupper trunc ungetc unsetenv vfprintf
vprintf y0 y1 yn
"""

RESERVED = frozenset(_RESERVED.split())
"""What neither C nor C++ takes as a name of ours, macros of usual headers included."""

LIBRARY = frozenset(_LIBRARY.split())
"""Functions of the C library: one of ours by such a name would be called in their place. Others of
POSIX's (`read`, say) leave the name to programs, but for those that the usual headers declare."""
