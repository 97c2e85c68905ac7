//! The true number of a function's parameters: a tuple counts as its elements.

use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{FnArg, Signature, Type};

/// The most parameters of a function, not counting its receiver.
const ARITY_MAX: usize = 7;

/// Names each function of a file that takes more than the limit, or that packs parameters into a tuple.
pub(super) fn check(path: &str, text: &str, wrong: &mut Vec<String>) {
    let Ok(file) = syn::parse_file(text) else {
        wrong.push(format!("{path}: it could not be parsed"));
        return;
    };
    let mut seen = Functions::default();
    seen.visit_file(&file);
    let over = seen.over.iter();
    wrong.extend(over.map(|one| format!("{path}:{}: {} takes {}", one.line, one.name, one.why())));
}

/// One function over the limit.
struct Function {
    name: String,
    line: usize,
    values: usize,
    packed: usize,
}

impl Function {
    fn why(&self) -> String {
        match self.packed {
            0 => format!("{} values, {ARITY_MAX} at most", self.values),
            packed => format!("{} values, {packed} of them packed into tuples", self.values),
        }
    }
}

#[derive(Default)]
struct Functions {
    over: Vec<Function>,
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let test = item.attrs.iter().any(|attribute| {
            attribute.path().is_ident("cfg")
                && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"))
        });
        if !test {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_signature(&mut self, signature: &'ast Signature) {
        let types = signature.inputs.iter().filter_map(|input| match input {
            FnArg::Receiver(_) => None,
            FnArg::Typed(typed) => Some(&*typed.ty),
        });
        let counts: Vec<usize> = types.map(values).collect();
        let packed = counts.iter().filter(|count| **count > 1).sum();
        let all: usize = counts.iter().sum();
        if all > ARITY_MAX || packed > 2 {
            let line = signature.span().start().line;
            self.over.push(Function { name: signature.ident.to_string(), line, values: all, packed });
        }
        visit::visit_signature(self, signature);
    }
}

/// How many values are in one parameter.
fn values(of: &Type) -> usize {
    if let Type::Tuple(tuple) = of {
        tuple.elems.iter().map(values).sum()
    } else if let Type::Reference(reference) = of {
        values(&reference.elem)
    } else {
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tuple_counts_as_what_it_holds() {
        let mut wrong = Vec::new();
        let text = "fn two((a, b): (u8, u8)) {}\nfn three((a, b, c): (u8, u8, &(u8,))) {}\n\
                    fn eight(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8, h: u8) {}\n\
                    #[cfg(test)] mod tests { fn three((a, b, c): (u8, u8, u8)) {} }\n";
        check("x.rs", text, &mut wrong);
        let expected = [
            "x.rs:2: three takes 3 values, 3 of them packed into tuples",
            "x.rs:3: eight takes 8 values, 7 at most",
        ];
        assert_eq!(wrong, expected);
    }
}
