//! JSON whose values may be of another kind than they should be, so that the refusal can say of which.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A value that should be a `T`.
#[derive(Debug, Default)]
pub(crate) enum Json<T> {
    /// Null or absent.
    #[default]
    Null,
    /// As it should be.
    Is(T),
    /// Of another kind, in the words of Go.
    Other(&'static str),
}

/// What a value should look like; it is read without becoming something else before.
pub(crate) trait Shape<'de>: Sized {
    /// Reads a text.
    fn of_text(_text: Cow<'de, str>) -> Json<Self> {
        Json::Other("string")
    }

    /// Reads an array.
    ///
    /// # Errors
    /// If it is not JSON.
    fn of_array<A: SeqAccess<'de>>(mut array: A) -> Result<Json<Self>, A::Error> {
        while array.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Json::Other("array"))
    }

    /// Reads an object.
    ///
    /// # Errors
    /// If it is not JSON.
    fn of_object<A: MapAccess<'de>>(mut object: A) -> Result<Json<Self>, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Json::Other("object"))
    }
}

impl<'de> Shape<'de> for Cow<'de, str> {
    fn of_text(text: Cow<'de, str>) -> Json<Cow<'de, str>> {
        Json::Is(text)
    }
}

impl<'de, T: Shape<'de>> Deserialize<'de> for Json<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Json<T>, D::Error> {
        deserializer.deserialize_any(AnyKind(PhantomData))
    }
}

struct AnyKind<T>(PhantomData<T>);

impl<'de, T: Shape<'de>> Visitor<'de> for AnyKind<T> {
    type Value = Json<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Json<T>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Json<T>, E> {
        Ok(Json::Other("bool"))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Json<T>, E> {
        Ok(Json::Other("number"))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Json<T>, E> {
        Ok(Json::Other("number"))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Json<T>, E> {
        Ok(Json::Other("number"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json<T>, E> {
        Ok(T::of_text(Cow::Owned(text.to_owned())))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Json<T>, E> {
        Ok(T::of_text(Cow::Borrowed(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, array: A) -> Result<Json<T>, A::Error> {
        T::of_array(array)
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Json<T>, A::Error> {
        T::of_object(object)
    }
}
