// TUTTI_CLONES compiles a function once per generation of vector units and picks one at load time.
// It applies to plain functions, not to templates, lambdas or OpenMP regions inside them: hot loops
// stand in static leaf functions over restrict pointers, whose helpers are TUTTI_INLINE.
#pragma once

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(TUTTI_NO_CLONES)
#define TUTTI_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define TUTTI_CLONES
#endif

#define TUTTI_INLINE inline __attribute__((always_inline))
