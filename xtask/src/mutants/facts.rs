//! What the mutated crates define: names from which replacements are chosen.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::{self, Visit};
use syn::{Expr, Fields, ImplItem, ReturnType, Type};

/// Names that the crates define.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// The unit variants of each enum.
    pub(super) enums: BTreeMap<String, Vec<String>>,
    /// Constants of an integer type, with their value where it is written as a literal.
    pub(super) integers: BTreeMap<String, Option<u64>>,
    /// Constants of a type that are of this type.
    pub(super) constants: BTreeMap<String, Vec<String>>,
    /// Functions that return nothing, or only whether they failed.
    pub(super) units: BTreeSet<String>,
    /// Functions that return a truth value.
    pub(super) bools: BTreeSet<String>,
}

impl Facts {
    /// Adds the names that a file defines.
    pub(super) fn read(&mut self, file: &syn::File) {
        self.visit_file(file);
    }
}

impl<'ast> Visit<'ast> for Facts {
    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        let units = item.variants.iter().filter(|variant| matches!(variant.fields, Fields::Unit));
        self.enums.insert(item.ident.to_string(), units.map(|variant| variant.ident.to_string()).collect());
    }

    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        if is_integer(&item.ty) {
            self.integers.insert(item.ident.to_string(), literal(&item.expr));
        }
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if let Some(name) = type_name(&item.self_ty) {
            for part in &item.items {
                if let ImplItem::Const(constant) = part
                    && type_name(&constant.ty).is_some_and(|it| it == "Self" || it == name)
                {
                    self.constants.entry(name.clone()).or_default().push(constant.ident.to_string());
                }
            }
        }
        visit::visit_item_impl(self, item);
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        let name = signature.ident.to_string();
        match &signature.output {
            ReturnType::Default => {
                self.units.insert(name);
            }
            ReturnType::Type(_, of) => match type_name(of).as_deref() {
                Some("bool") => {
                    self.bools.insert(name);
                }
                Some("Result") if is_unit_result(of) => {
                    self.units.insert(name);
                }
                _ => {}
            },
        }
    }
}

/// The last name of a type's path.
pub(super) fn type_name(of: &Type) -> Option<String> {
    match of {
        Type::Path(path) => Some(path.path.segments.last()?.ident.to_string()),
        Type::Paren(inner) => type_name(&inner.elem),
        Type::Group(inner) => type_name(&inner.elem),
        _ => None,
    }
}

/// The first generic argument of a type.
pub(super) fn type_argument(of: &Type) -> Option<&Type> {
    let Type::Path(path) = of else { return None };
    let syn::PathArguments::AngleBracketed(list) = &path.path.segments.last()?.arguments else {
        return None;
    };
    list.args.iter().find_map(|argument| match argument {
        syn::GenericArgument::Type(of) => Some(of),
        _ => None,
    })
}

/// Whether this is a `Result` without a value.
pub(super) fn is_unit_result(of: &Type) -> bool {
    type_argument(of).is_some_and(|of| matches!(of, Type::Tuple(tuple) if tuple.elems.is_empty()))
}

/// Whether this is one of the integer types.
pub(super) fn is_integer(of: &Type) -> bool {
    const NAMES: [&str; 12] =
        ["u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize"];
    // `Seq` is the crates' own name of an integer.
    type_name(of).is_some_and(|name| NAMES.contains(&name.as_str()) || name == "Seq")
}

fn literal(expr: &Expr) -> Option<u64> {
    match expr {
        Expr::Lit(syn::ExprLit { lit: syn::Lit::Int(number), .. }) => number.base10_parse().ok(),
        _ => None,
    }
}
