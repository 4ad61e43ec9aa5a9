//! What a contributor can do here: `cargo xtask` lists it.

fn main() {
    println!("cargo xtask test");
}
