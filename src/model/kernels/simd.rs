//! Vectors of f32 for the processor at hand: AVX-512, AVX2 with FMA, or plain arrays that the compiler may vectorise.

use std::sync::OnceLock;

/// Vectors of one instruction set.
///
/// # Safety
/// Every function may only be called on a processor that has the instruction set; pointers must be valid for `LANES`
/// values, or for `count`.
pub(super) trait Simd: Copy + 'static {
    /// A vector.
    type V: Copy;
    /// Values in a vector.
    const LANES: usize;
    /// Vectors side by side in a tile that, with [`ROWS`](super::tile::ROWS) rows, just fit the registers.
    const VECTORS: usize;

    unsafe fn splat(value: f32) -> Self::V;
    unsafe fn load(from: *const f32) -> Self::V;
    unsafe fn store(to: *mut f32, value: Self::V);
    /// The first `count` values, 1 to `LANES`, and zeros; nothing behind them is touched.
    unsafe fn load_first(from: *const f32, count: usize) -> Self::V;
    unsafe fn store_first(to: *mut f32, count: usize, value: Self::V);
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    /// 0 where the value is negative; a NaN stays one, so that it does not hide a divergence.
    unsafe fn relu(value: Self::V) -> Self::V;
    /// `a * b + c`.
    unsafe fn multiply_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
}

/// Work that is compiled once for each instruction set.
pub(super) trait Work {
    /// Does it. Implementations must be `#[inline(always)]`, or they lose the instruction set.
    ///
    /// # Safety
    /// The processor must have the instruction set of `S`.
    unsafe fn run<S: Simd>(self);
}

/// An instruction set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstructionSet {
    /// 512-bit vectors.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// 256-bit vectors with fused multiply-add.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// Whatever the compiler makes of arrays.
    Portable,
}

impl InstructionSet {
    /// The best that this processor has.
    pub fn detect() -> Self {
        static DETECTED: OnceLock<InstructionSet> = OnceLock::new();
        *DETECTED.get_or_init(|| Self::available()[0])
    }

    /// All that this processor has, the best first.
    pub fn available() -> Vec<Self> {
        let mut sets = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                sets.push(Self::Avx512);
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                sets.push(Self::Avx2);
            }
        }
        sets.push(Self::Portable);
        sets
    }

    /// Vectors of this set in a tile, and values in a vector.
    pub(super) fn tile(self) -> (usize, usize) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => (Avx512::VECTORS, Avx512::LANES),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => (Avx2::VECTORS, Avx2::LANES),
            Self::Portable => (Portable::VECTORS, Portable::LANES),
        }
    }

    /// Runs the version of `work` for this set.
    pub(super) fn run(self, work: impl Work) {
        // SAFETY: a set other than `Portable` comes from `available`, which asked the processor.
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => unsafe { run_avx512(work) },
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { run_avx2(work) },
            Self::Portable => unsafe { work.run::<Portable>() },
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn run_avx512(work: impl Work) {
    // SAFETY: the caller promises the instruction set.
    unsafe { work.run::<Avx512>() }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn run_avx2(work: impl Work) {
    // SAFETY: the caller promises the instruction set.
    unsafe { work.run::<Avx2>() }
}

#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(super) struct Avx512;
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(super) struct Avx2;
#[derive(Clone, Copy)]
pub(super) struct Portable;

/// [`Simd`] out of the processor's own functions.
#[cfg(target_arch = "x86_64")]
macro_rules! x86 {
    ($set:ident, $vector:ident, $lanes:literal, $vectors:literal, $splat:ident, $load:ident, $store:ident, $load_first:ident, $store_first:ident, $add:ident, $max:ident, $fma:ident) => {
        impl Simd for $set {
            type V = std::arch::x86_64::$vector;
            const LANES: usize = $lanes;
            const VECTORS: usize = $vectors;

            // SAFETY (all eight): the caller promises the instruction set and valid pointers.
            #[inline(always)]
            unsafe fn splat(value: f32) -> Self::V {
                unsafe { std::arch::x86_64::$splat(value) }
            }
            #[inline(always)]
            unsafe fn load(from: *const f32) -> Self::V {
                unsafe { std::arch::x86_64::$load(from) }
            }
            #[inline(always)]
            unsafe fn store(to: *mut f32, value: Self::V) {
                unsafe { std::arch::x86_64::$store(to, value) }
            }
            #[inline(always)]
            unsafe fn load_first(from: *const f32, count: usize) -> Self::V {
                unsafe { $load_first(from, count) }
            }
            #[inline(always)]
            unsafe fn store_first(to: *mut f32, count: usize, value: Self::V) {
                unsafe { $store_first(to, count, value) }
            }
            #[inline(always)]
            unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
                unsafe { std::arch::x86_64::$add(a, b) }
            }
            #[inline(always)]
            unsafe fn relu(value: Self::V) -> Self::V {
                // Where one operand is a NaN the instruction returns the second.
                unsafe { std::arch::x86_64::$max(Self::splat(0.0), value) }
            }
            #[inline(always)]
            unsafe fn multiply_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
                unsafe { std::arch::x86_64::$fma(a, b, c) }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
x86!(
    Avx512,
    __m512,
    16,
    4,
    _mm512_set1_ps,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    load_first_512,
    store_first_512,
    _mm512_add_ps,
    _mm512_max_ps,
    _mm512_fmadd_ps
);
#[cfg(target_arch = "x86_64")]
x86!(
    Avx2,
    __m256,
    8,
    2,
    _mm256_set1_ps,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    load_first_256,
    store_first_256,
    _mm256_add_ps,
    _mm256_max_ps,
    _mm256_fmadd_ps
);

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn load_first_512(from: *const f32, count: usize) -> std::arch::x86_64::__m512 {
    // SAFETY: lanes outside the mask are not read.
    unsafe { std::arch::x86_64::_mm512_maskz_loadu_ps((1_u32 << count).wrapping_sub(1) as u16, from) }
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn store_first_512(to: *mut f32, count: usize, value: std::arch::x86_64::__m512) {
    // SAFETY: lanes outside the mask are not written.
    unsafe { std::arch::x86_64::_mm512_mask_storeu_ps(to, (1_u32 << count).wrapping_sub(1) as u16, value) }
}

/// All bits set in the first `count` lanes.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2")]
fn mask_256(count: usize) -> std::arch::x86_64::__m256i {
    use std::arch::x86_64::{_mm256_cmpgt_epi32, _mm256_set1_epi32, _mm256_setr_epi32};
    _mm256_cmpgt_epi32(_mm256_set1_epi32(count as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load_first_256(from: *const f32, count: usize) -> std::arch::x86_64::__m256 {
    // SAFETY: lanes outside the mask are not read.
    unsafe { std::arch::x86_64::_mm256_maskload_ps(from, mask_256(count)) }
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn store_first_256(to: *mut f32, count: usize, value: std::arch::x86_64::__m256) {
    // SAFETY: lanes outside the mask are not written.
    unsafe { std::arch::x86_64::_mm256_maskstore_ps(to, mask_256(count), value) }
}

impl Simd for Portable {
    type V = [f32; 4];
    const LANES: usize = 4;
    const VECTORS: usize = 2;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self::V {
        [value; 4]
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::V {
        // SAFETY: the caller promises four valid values; the cast pointer is read without alignment.
        unsafe { from.cast::<Self::V>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, value: Self::V) {
        // SAFETY: as for `load`.
        unsafe { to.cast::<Self::V>().write_unaligned(value) }
    }
    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self::V {
        // SAFETY: only the first `count` are read.
        std::array::from_fn(|lane| if lane < count { unsafe { *from.add(lane) } } else { 0.0 })
    }
    #[inline(always)]
    unsafe fn store_first(to: *mut f32, count: usize, value: Self::V) {
        for (lane, value) in value.into_iter().take(count).enumerate() {
            // SAFETY: only the first `count` are written.
            unsafe { *to.add(lane) = value }
        }
    }
    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|lane| a[lane] + b[lane])
    }
    #[inline(always)]
    unsafe fn relu(value: Self::V) -> Self::V {
        value.map(|value| if value < 0.0 { 0.0 } else { value })
    }
    #[inline(always)]
    unsafe fn multiply_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        // Not `mul_add`: without the instruction that is a slow library call.
        std::array::from_fn(|lane| a[lane] * b[lane] + c[lane])
    }
}
